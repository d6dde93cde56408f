"""What does the default model gain, and in how many seconds? Draws the chart and the table of the README from committed figures.

    python -m benchmarks.front [--results benchmarks/results/front.json]

Writes docs/assets/effectiveness.svg, and what stands between the markers `<!-- figures: … -->` and `<!-- end -->` of README.md and of
docs/benchmarks.md. Prints the files that changed. The figures themselves come from `firstrank rerank --qrels` and `firstrank eval`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.arguments import parser_of
from firstrank.eval.report.svg import Point, effectiveness_against_latency

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/front.json"
CHART = ROOT / "docs/assets/effectiveness.svg"
PAGES = (ROOT / "README.md", ROOT / "docs/benchmarks.md")
_BETWEEN = re.compile(r"(<!-- figures: [^\n]* -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("front", __doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    for path, text in made(json.loads(parser.parse_args(words).results.read_text(encoding="utf-8"))).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


def made(results: Mapping[str, Any]) -> dict[Path, str]:
    """Each file with the text that it should have."""
    figures = table(results)
    pages = {page: _BETWEEN.sub(lambda found: f"{found[1]}\n{figures}\n\n{found[3]}", page.read_text(encoding="utf-8")) for page in PAGES}
    return {CHART: chart(results["chart"])} | pages


def table(results: Mapping[str, Any]) -> str:
    """What was measured of what, then a row a collection."""
    caption = (
        f"`{results['model']}` over BM25's candidates, on {results['machine']}, {results['date']}. p is of a paired t-test, two-sided."
    )
    rows = [
        f"| {one['name']} | {one['first_stage']:.3f} | {one['reranked']:.3f} | {one['reranked'] - one['first_stage']:+.3f} | {one['p']} |"
        for one in results["collections"]
    ]
    return "\n".join([caption, "", f"| {results['measure']} | BM25 | reranked | difference | p |", "|---|---:|---:|---:|---:|", *rows])


def chart(said: Mapping[str, Any]) -> str:
    """Effectiveness against seconds a query, as SVG. Time is on a log scale; the first stage is a dashed line."""
    first = said["first_stage"]
    points = [Point(one["name"], one["seconds"], one["value"]) for one in said["points"]]
    drawn = effectiveness_against_latency([*points, Point(first["name"], None, first["value"])])
    assert drawn is not None, "no point has seconds"
    left, right, top, bottom = (drawn[side] for side in ("left", "right", "top", "bottom"))
    box = f"0 0 {drawn['width']} {drawn['height']}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="15">',
        f"<title>nDCG@10 against seconds a query: {escape(said['collection'])}</title>",
        f'<rect width="{drawn["width"]}" height="{drawn["height"]}" fill="white"/>',
        *(f'<path d="M{left},{tick["at"]}H{right}" stroke="#e4e4e4"/>' for tick in drawn["y_ticks"]),
        *(_text(left - 8, tick["at"] + 4, tick["label"], "end") for tick in drawn["y_ticks"]),
        *(_text(tick["at"], bottom + 18, tick["label"], "middle") for tick in drawn["x_ticks"]),
        f'<path d="M{left},{bottom}H{right}" stroke="#888"/>',
        _text((left + right) / 2, bottom + 40, f"seconds a query; {escape(said['collection'])}", "middle"),
        _text(14, top - 6, "nDCG@10", "start"),
        f'<path d="{drawn["front"]}" fill="none" stroke="#3f51b5" stroke-width="2"/>',
    ]
    for aside in drawn["asides"]:
        parts.append(f'<path d="M{left},{aside["y"]}H{right}" stroke="#c62828" stroke-dasharray="6 4"/>')
        parts.append(_text(left + 8, aside["y"] - 6, f"{aside['name']}, not reranked: {first['value']:.3f}", "start"))
    for point, one in zip(points, drawn["points"], strict=True):
        parts.append(f'<circle cx="{one["x"]}" cy="{one["y"]}" r="5" fill="#3f51b5"/>')
        parts.append(_text(one["x"] + one["dx"], one["y"] + one["dy"] + 4, f"{one['name']}: {point.value:.3f}", one["anchor"]))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#222">{escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main())
