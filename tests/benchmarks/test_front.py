"""The README's figures are those of benchmarks/results/front.json."""

from __future__ import annotations

import json

from benchmarks import front


def test_chart_and_tables_are_made_from_the_committed_figures() -> None:
    results = json.loads(front.RESULTS.read_text(encoding="utf-8"))
    for path, text in front.made(results).items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `python -m benchmarks.front`"
        assert path == front.CHART or front.table(results) in text
