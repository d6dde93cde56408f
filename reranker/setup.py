"""All that it takes to make the same Reranker anywhere: here, or in a worker on another machine. Plain data; pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from firstrank.reranker.reranker import Reranker
from firstrank.reranker.strategies.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Setup:
    """A model, its backend and its schedule. `open` makes the Reranker, and raises what a Reranker raises."""

    model: str = "default"
    backend: str = "transformers"
    strategy: str | None = None
    window: int | str | None = None
    stride: int | None = None
    passes: int | None = None
    top_k: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """of the backend; see `open_scorer`"""
    oracle: Oracle | None = None
    """in place of a model"""
    cascade: str | None = None
    """a large model, for the windows of which the small one is unsure"""
    defer_budget: float = 0.3
    defer_rule: str = "entropy"

    def open(self) -> Reranker:
        schedule: dict[str, Any] = {name: getattr(self, name) for name in ("strategy", "window", "stride", "passes", "top_k", "seed")}
        if self.oracle is not None:
            return Reranker(self.oracle.open(self.seed), **schedule)
        return Reranker(
            self.model,
            backend=self.backend,
            cascade=self.cascade,
            defer_budget=self.defer_budget,
            defer_rule=self.defer_rule,
            **schedule,
            **self.options,
        )

    def schedule(self) -> Schedule:
        """With what is not said taken from the model's settings; an oracle has none. Loads no model."""
        from firstrank.reranker.models.catalog import read_settings

        asked = Schedule(self.strategy, self.window, self.stride, self.passes)
        return asked if self.oracle is not None else asked.completed(read_settings(self.model))

    def check(self, n: int) -> None:
        """Raises InputError for a schedule, or a cascade's options, that cannot work on n candidates. Loads no model."""
        from firstrank.reranker.scorers.cascade.deferral import find_rule
        from firstrank.reranker.scorers.cascade.scorer import check_budget
        from firstrank.reranker.strategies.register import check_strategy

        strategy = self.schedule().strategy(self.top_k)
        if self.top_k is not None:
            check_strategy(strategy, n, n)
        if self.cascade is not None:
            check_budget(self.defer_budget)
            find_rule(self.defer_rule)

    def facts(self) -> dict[str, str]:
        """What must be the same for a batch to be resumed. Loads no model."""
        from firstrank.reranker.runs.files import fingerprint

        models = [] if self.oracle is not None else [name for name in (self.model, self.cascade) if name is not None]
        told = {name: repr(value) for name, value in asdict(self).items()}
        return told | {"defer_rule": fingerprint(self.defer_rule)} | dict(map(_model_fact, models))


def _model_fact(name: str) -> tuple[str, str]:
    """What tells a model from another of its name: its settings, and in a folder all files."""
    from firstrank.reranker.models.catalog import find_model
    from firstrank.reranker.runs.files import fingerprint

    settings, folder = find_model(name)
    return (f"settings of {name}", repr(settings)) if folder is None else (f"files of {name}", fingerprint(folder))


@dataclass(frozen=True, slots=True)
class Oracle:
    """A scorer that knows the judgments: `--backend oracle`."""

    qrels: str
    noise: float = 0.0

    def open(self, seed: int) -> Any:
        from firstrank.reranker.runs.qrels import read_qrels
        from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer

        return OracleScorer(read_qrels(self.qrels), OracleOptions(noise=self.noise, seed=seed))
