"""Pictures for papers and slides, by matplotlib: PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firstrank.eval.evaluation import Evaluation
from firstrank.eval.report.svg import Point, pareto

FORMATS = ("png", "svg")


def write_plots(folder: Path, evaluation: Evaluation) -> None:
    """`effectiveness` (means with intervals) and `differences` (a line a system, against the first).

    Also `latency` where costs are known, and `reliability` where a system has probabilities.
    """
    _effectiveness(folder, evaluation)
    if len(evaluation.systems) > 1:
        _differences(folder, evaluation)
    if any(one.latency and one.latency.alone for one in evaluation.systems):
        _latency(folder, evaluation)
    if any(one.reliability for one in evaluation.systems):
        _reliability(folder, evaluation)


@contextmanager
def _figure(folder: Path, name: str, height: float) -> Iterator[Any]:
    """Axes to draw on; the file is written at the end. Its bytes depend on the figures alone."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "firstrank", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7, height), layout="constrained")
        yield figure.subplots()
        for suffix in FORMATS:
            figure.savefig(folder / f"{name}.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else {})


def _effectiveness(folder: Path, evaluation: Evaluation) -> None:
    with _figure(folder, "effectiveness", 1.2 + 0.32 * len(evaluation.systems)) as axes:
        estimates = [one.estimates[evaluation.primary] for one in evaluation.systems]
        means = [one.mean for one in estimates]
        spread = [[one.mean - one.low for one in estimates], [one.high - one.mean for one in estimates]]
        axes.errorbar(means, range(len(means)), xerr=spread, fmt="o", capsize=3)
        axes.set_yticks(range(len(means)), [one.name for one in evaluation.systems])
        axes.invert_yaxis()
        axes.set_xlabel(f"{evaluation.primary}, mean over {len(evaluation.qids)} queries with bootstrap 95% interval")
        axes.grid(axis="x", alpha=0.3)


def _differences(folder: Path, evaluation: Evaluation) -> None:
    first, *others = evaluation.values[evaluation.primary]
    with _figure(folder, "differences", 3.6) as axes:
        for system, values in zip(evaluation.systems[1:], others, strict=True):
            axes.plot(sorted(values - first, reverse=True), label=system.name, drawstyle="steps-mid")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xlabel("queries, sorted by difference")
        axes.set_ylabel(f"{evaluation.primary} minus that of {evaluation.systems[0].name}")
        axes.legend(fontsize=8)
        axes.grid(axis="y", alpha=0.3)


def _latency(folder: Path, evaluation: Evaluation) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    points = [
        Point(one.name, one.latency.p50 if one.latency and one.latency.alone else None, one.estimates[evaluation.primary].mean)
        for one in evaluation.systems
    ]
    with _figure(folder, "latency", 4.2) as axes:
        for point in points:
            if point.seconds is None:
                axes.axhline(point.value, linestyle="--", linewidth=0.8, color="grey")
                axes.annotate(point.name, (1, point.value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
            else:
                axes.plot(point.seconds, point.value, "o")
                axes.annotate(point.name, (point.seconds, point.value), xytext=(6, -12), textcoords="offset points")
        front = pareto(points)
        axes.plot([point.seconds for point in front], [point.value for point in front], linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(0.2)
        axes.set_xlabel("median seconds a query")
        axes.set_ylabel(evaluation.primary)
        axes.grid(alpha=0.3)


def _reliability(folder: Path, evaluation: Evaluation) -> None:
    with _figure(folder, "reliability", 5) as axes:
        axes.plot((0, 1), (0, 1), linestyle="--", linewidth=0.8, color="grey")
        for system in evaluation.systems:
            if system.reliability:
                bins = system.reliability.bins
                label = f"{system.name}: ECE {system.reliability.ece:.3f}"
                sizes = [max(400 * one.share, 9) for one in bins]
                axes.scatter([one.probability for one in bins], [one.relevant for one in bins], sizes, alpha=0.7, label=label)
        axes.set_xlabel("probability, mean of a bin; the larger the circle, the more candidates")
        axes.set_ylabel(f"relevant candidates of {evaluation.dataset.name}")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
