"""What `firstrank bench latency` writes: latency.json, latency.md and latency.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from firstrank.eval.bench.latency import FIRST, GENERATION, Measurement, Ratio, Timing, ratios
from firstrank.eval.report.files import write_json
from firstrank.eval.report.html import render, seconds
from firstrank.reranker.runs.files import whole_file

_COLUMNS = (
    *("system", "at once", "p50 s", "p95 s", "p99 s", "fastest–slowest", "passes' medians", "spread", "queries/s"),
    *("windows", "rounds", "prompt tokens", "generated tokens"),
)
_WIDTH, _ROW, _LEFT = 760, 34, 250


def write(folder: Path, measured: Sequence[Measurement], facts: Mapping[str, Any]) -> str:
    """Writes the three files into a folder that is there, and gives the Markdown."""
    found = ratios_of(measured)
    write_json(folder / "latency.json", report_object(measured, facts))
    table = markdown(measured)
    page = render(
        "latency.html.j2",
        title=f"Latency: {facts['model']} on {facts['backend']}",
        columns=_COLUMNS,
        rows=[_cells(timing) for timing in timings_of(measured)],
        ratios=[(ratio, _lower(ratio)) for ratio in found],
        answers=_free_answers(measured),
        chart=_chart(timings_of(measured)),
        measured=measured,
        facts=facts,
    )
    for name, text in {"latency.md": table, "latency.html": page}.items():
        with whole_file(folder / name) as file:
            file.write(text)
    return table


def timings_of(measured: Sequence[Measurement]) -> list[Timing]:
    return [timing for one in measured for timing in one.timings]


def ratios_of(measured: Sequence[Measurement]) -> list[Ratio]:
    """FIRST against constrained generation, where both were measured."""
    by_contestant = {one.contestant: one for one in measured}
    if FIRST in by_contestant and GENERATION in by_contestant:
        return list(ratios(by_contestant[FIRST], by_contestant[GENERATION]))
    return []


def report_object(measured: Sequence[Measurement], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What latency.json holds."""
    return {
        "form": 1,
        "facts": dict(facts),
        "systems": {one.contestant.name: {"warmup_seconds": one.warmup_seconds, "facts": dict(one.facts)} for one in measured},
        "timings": [asdict(timing) | {"spread": timing.spread} for timing in timings_of(measured)],
        "first_over_generation": [asdict(ratio) for ratio in ratios_of(measured)],
    }


def markdown(measured: Sequence[Measurement]) -> str:
    """The timings, the ratios and the answers as Markdown."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|" + "---:|" * (len(_COLUMNS) - 1)]
    lines += ["| " + " | ".join(_cells(timing)) + " |" for timing in timings_of(measured)]
    for ratio in ratios_of(measured):
        times = f"mean {ratio.mean:.3f} of generation's, {ratio.throughput:.2f} times its queries/s"
        lines.append(f"\nFIRST at {ratio.concurrency} at once: median {_lower(ratio)}, {times}")
    for timing in _free_answers(measured):
        if found := timing.responses:
            share = f"{100 * found.well_formed:.1f}% of {found.windows} answers well formed"
            faults = {"repeated": found.with_repeated, "missing": found.with_missing, "foreign": found.with_foreign}
            told = ", ".join(f"{name} {100 * of:.1f}%" for name, of in faults.items())
            lines.append(f"\n{timing.contestant}, {timing.concurrency} at once: {share}; with identifiers {told}")
    return "\n".join([*lines, ""])


def _free_answers(measured: Sequence[Measurement]) -> list[Timing]:
    """Held to the language of orderings, all answers are well formed: only free ones say something of the model."""
    return [timing for one in measured if one.contestant != GENERATION for timing in one.timings if timing.responses]


def _lower(ratio: Ratio) -> str:
    change = "below" if ratio.median <= 1 else "above"
    return f"{abs(1 - ratio.median):.1%} {change} generation's"


def _cells(timing: Timing) -> list[str]:
    of = timing.latency
    return [
        timing.contestant,
        str(timing.concurrency),
        *map(seconds, (of.p50, of.p95, of.p99)),
        f"{seconds(of.lowest)}–{seconds(of.highest)}",
        ", ".join(map(seconds, timing.medians)),
        f"{timing.spread:.1%}",
        f"{timing.queries_per_second:.3f}",
        f"{of.windows:.1f}",
        f"{of.rounds:.1f}",
        f"{of.prompt_tokens:.0f}",
        f"{of.generated_tokens:.1f}",
    ]


def _chart(timings: Sequence[Timing]) -> dict[str, Any]:
    """A box a timing: quartiles, median, and whiskers to the fastest and the slowest query."""
    longest = max(timing.latency.highest for timing in timings)

    def x(at: float) -> float:
        return round(_LEFT + at / longest * (_WIDTH - _LEFT - 60), 1)

    boxes = []
    for row, timing in enumerate(timings):
        of, y = timing.latency, row * _ROW + 20
        places = {name: x(getattr(of, name)) for name in ("lowest", "p25", "p50", "p75", "highest")}
        boxes.append(places | {"y": y, "name": f"{timing.contestant}, {timing.concurrency} at once", "median": f"{seconds(of.p50)} s"})
    return {"width": _WIDTH, "height": len(timings) * _ROW + 12, "left": _LEFT, "boxes": boxes}
