"""Which windows does each strategy ask? Draws the pictures of docs/strategies.md.

    python -m benchmarks.pictures [--folder docs/strategies]

A row is a window, in the order asked, a column a candidate by its first-stage place; windows of one round (which may run in
parallel) have one background. A perfect oracle answers; the 100 candidates have grades 0 to 3, better ones more often in front.
Prints a line for each strategy: windows and rounds.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import parser_of
from firstrank.reranker.strategies.register import parse_strategy
from tests.reranker.strategies.driver import Driven, drive

N, CELL, HEIGHT, LEFT, TOP = 100, 6, 9, 64, 30
SHADES = ("#c9d8ea", "#8fb3d9", "#4a86c5", "#0b3d78")
NAMES = ("sliding", "full", "topdown", "tournament", "blitz", "consistent:of=topdown,shuffles=2")


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("pictures", __doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs/strategies"))
    folder: Path = parser.parse_args(words).folder
    draw = random.Random(1)
    grades = [sum(draw.random() < 0.55 * 0.97**place for _ in range(3)) for place in range(N)]
    for name in NAMES:
        driven = drive(
            parse_strategy(name, window=100) if name == "full" else parse_strategy(name), N, lambda asked: [grades[i] for i in asked]
        )
        stem = name.partition(":")[0]
        (folder / f"{stem}.svg").write_text(picture(name, driven, grades), encoding="utf-8")
        print(f"{name}: {len(driven.windows)} windows in {len(driven.rounds)} rounds")


def picture(name: str, driven: Driven, grades: list[int]) -> str:
    width, height = LEFT + N * CELL + 10, TOP + len(driven.windows) * HEIGHT + 24
    passages = sum(map(len, driven.windows))
    title = f"{name}: {len(driven.windows)} windows, {len(driven.rounds)} rounds, {passages} passages"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-weight="bold">{title}</text>',
    ]
    row = 0
    for number, windows in enumerate(driven.rounds, 1):
        y = TOP + row * HEIGHT
        shade = "#f1f1f1" if number % 2 else "#fafafa"
        parts.append(f'<rect x="0" y="{y}" width="{width}" height="{len(windows) * HEIGHT}" fill="{shade}"/>')
        parts.append(f'<text x="4" y="{y + HEIGHT - 1}" font-size="9">round {number}</text>')
        for window in windows:
            y = TOP + row * HEIGHT + 1
            parts += [
                f'<rect x="{LEFT + i * CELL}" y="{y}" width="{CELL - 1}" height="{HEIGHT - 2}" fill="{SHADES[grades[i]]}"/>' for i in window
            ]
            row += 1
    bottom = height - 8
    parts.append(f'<text x="{LEFT}" y="{bottom}" font-size="9">first-stage place 1</text>')
    parts.append(
        f'<text x="{LEFT + N * CELL}" y="{bottom}" font-size="9" text-anchor="end">place {N}; the darker, the more relevant</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
