"""What each strategy costs and how well it ranks, side by side: windows, rounds, passages, prompt tokens and nDCG@10.

Over an oracle of given noise a strategy is measured apart from any model; the noise is drawn anew for each call, and the
interval is over its seeds. With a model, each query is ranked once.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstrank.eval.bench.collection import MEASURE, Collection
from firstrank.reranker.errors import MissingExtra
from firstrank.reranker.runs.files import whole_file
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Ranking

if TYPE_CHECKING:
    from firstrank.reranker.setup import Setup

STRATEGIES = (
    "sliding", "sliding:passes=2", "full", "topdown", "topdown:budget=20", "tournament", "blitz", "consistent", "consistent:of=topdown",
)  # fmt: skip

COSTS = ("windows", "rounds", "passages", "prompt_tokens")


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """One strategy over one scorer."""

    strategy: str
    noise: float | None
    """of the oracle; None for a model"""
    seeds: int
    effectiveness: float
    """nDCG@10, mean over queries and seeds"""
    interval: tuple[float, float] | None
    """95%, of that mean over seeds; None for one seed"""
    median: dict[str, float]
    """cost -> median over queries (and seeds)"""
    mean: dict[str, float]


def measure_oracle(collection: Collection, strategies: Sequence[str], noises: Sequence[float], seeds: int) -> Iterator[StrategyFigures]:
    """A row for each strategy and noise; without noise all seeds are alike, and one is drawn."""
    for noise in noises:
        for strategy in strategies:
            scorers = (OracleScorer(collection.qrels, OracleOptions(noise=noise, seed=seed)) for seed in range(seeds if noise else 1))
            yield _row(strategy, noise, collection, [collection.rank(scorer, parse_strategy(strategy)) for scorer in scorers])


def measure_model(collection: Collection, strategies: Sequence[str], setup: Setup) -> Iterator[StrategyFigures]:
    """A row for each strategy, with the model's own window and stride where a strategy's name has none."""
    scorer, schedule = setup.open_scorer()
    try:
        for name in strategies:
            strategy = replace(schedule, strategy=name).build()
            yield _row(name, None, collection, [collection.rank(scorer, strategy)])
    finally:
        scorer.close()


def _row(strategy: str, noise: float | None, collection: Collection, runs: Sequence[list[Ranking]]) -> StrategyFigures:
    values = [statistics.fmean(collection.effectiveness(rankings)) for rankings in runs]
    costs = {name: [_costs(ranking)[name] for rankings in runs for ranking in rankings] for name in COSTS}
    return StrategyFigures(
        strategy,
        noise,
        len(runs),
        statistics.fmean(values),
        interval_of_mean(values),
        {name: statistics.median(found) for name, found in costs.items()},
        {name: statistics.fmean(found) for name, found in costs.items()},
    )


def _costs(ranking: Ranking) -> dict[str, int]:
    trace = ranking.trace
    return {
        "windows": len(trace.windows),
        "rounds": trace.rounds,
        "passages": sum(len(window.docids) for window in trace.windows),
        "prompt_tokens": trace.prompt_tokens,
    }


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95% interval of the mean; None for fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return None
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def write(rows: Sequence[StrategyFigures], first_stage: float, facts: dict[str, Any], output: Path) -> dict[str, Any]:
    """`strategies.json`, `strategies.png` and `.svg` in the folder `output`; gives what the JSON holds."""
    output.mkdir(parents=True, exist_ok=True)
    found = facts | {"measure": MEASURE, "first_stage": first_stage, "rows": [asdict(row) for row in rows]}
    with whole_file(output / "strategies.json") as file:
        file.write(json.dumps(found, indent=1) + "\n")
    draw(rows, first_stage, output)
    return found


def draw(rows: Sequence[StrategyFigures], first_stage: float, folder: Path) -> None:
    """Effectiveness against prompt tokens, one point a strategy, one panel a noise."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtra("matplotlib", "eval", "drawing plots") from error
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    noises = list(dict.fromkeys(row.noise for row in rows))
    markers = {name: f"C{i}{'osD^vP*X<>'[i % 10]}" for i, name in enumerate(dict.fromkeys(row.strategy for row in rows))}
    with matplotlib.rc_context({"svg.hashsalt": "firstrank", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(3.4 * len(noises) + 1.8, 3.4), layout="constrained")
        for axes, noise in zip(figure.subplots(1, len(noises), squeeze=False)[0], noises, strict=True):
            for row in (row for row in rows if row.noise == noise):
                spread = row.interval and [[row.effectiveness - row.interval[0]], [row.interval[1] - row.effectiveness]]
                axes.errorbar(
                    row.median["prompt_tokens"], row.effectiveness, spread, fmt=markers[row.strategy], capsize=2, label=row.strategy
                )
            axes.set(xscale="log", xlabel="median prompt tokens a query", ylabel=MEASURE)
            axes.set_title("a model" if noise is None else f"oracle, noise {noise:g}")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.margins(0.15)
            axes.grid(alpha=0.3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", title=f"first stage: {first_stage:.4f}")
        for suffix in ("png", "svg"):
            figure.savefig(folder / f"strategies.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else {})
