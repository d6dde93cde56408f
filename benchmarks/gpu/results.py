"""What was measured, written down after each figure: a run that is cut short leaves all that it had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import Row
from firstrank.reranker.runs.files import whole_file


class Results:
    """Tables of rows in a folder: gpu.json, and gpu.md to read."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._facts = folder, facts
        self._tables: dict[str, tuple[str, list[Row]]] = {}

    @property
    def tables(self) -> dict[str, list[Row]]:
        """A stage's name -> its rows."""
        return {name: rows for name, (_, rows) in self._tables.items()}

    def add(self, stage: str, says: str, row: Row) -> None:
        """One more row of a stage's table, on disk before this returns."""
        self._tables.setdefault(stage, (says, []))[1].append(row)
        with whole_file(self._folder / "gpu.json") as file:
            file.write(json.dumps(self._facts | {"tables": self.tables}, indent=2) + "\n")
        with whole_file(self._folder / "gpu.md") as file:
            file.write(self.markdown())

    def markdown(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self._facts.items())
        tables = (f"## {name}\n\n{says}\n\n{_table(rows)}" for name, (says, rows) in self._tables.items())
        return "\n\n".join(["# What this GPU gives", facts, *tables]) + "\n"


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([_shown(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
