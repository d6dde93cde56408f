"""How commands speak: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

_SECONDS_BETWEEN_LINES = 15.0


def note(text: str) -> None:
    """A plain line on stderr."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def print_json(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, ensure_ascii=False, indent=2))


def print_table(table: Table) -> None:
    Console(highlight=False).print(table)


def print_measures(measured: Mapping[str, Mapping[str, float]]) -> None:
    """measure -> {column -> value}, as a table."""
    columns = list(next(iter(measured.values())))
    table = Table("measure", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, values in measured.items():
        table.add_row(name, *(f"{values[column]:.4f}" for column in columns))
    print_table(table)


class Progress:
    """A bar on a terminal; elsewhere a plain line now and then."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done = what, total, done
        self._bar: Bar | None = None
        self._started = self._spoke = time.monotonic()
        self._first = done

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, completed=self._done)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            pace = (self._spoke - self._started) / (self._done - self._first)
            note(f"{self._what}: {self._done} of {self._total}, {pace:.2f} s each, about {pace * (self._total - self._done):.0f} s left")
