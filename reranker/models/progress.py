"""How far long work is. A command shows it: a bar on a terminal; elsewhere a plain line now and then. A program that imports the library
sees nothing drawn.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 15.0


class Step(NamedTuple):
    """What is being done, the folder that fills up meanwhile, and the line that says so."""

    what: str
    into: Path | None
    line: Bar


_drawn = False
_working: list[Step] = []
"""the steps that are shown now, each within the one before, on one line"""


def draw() -> None:
    """From now on this program draws on its terminal: the command line says so."""
    global _drawn
    _drawn = True


def is_drawn() -> bool:
    """Whether there is a terminal to draw on."""
    return _drawn and sys.stderr.isatty()


class Progress:
    """Counts up to `total`; `done` of it was there before."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done = what, total, done
        self._bar: Bar | None = None
        self._started = self._spoke = time.monotonic()
        self._first = done

    def __enter__(self) -> Progress:
        if is_drawn() and not _working:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = _bar(*columns)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, completed=self._done)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._bar is not None:
            self._bar.advance(self._task, steps)
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            pace = (self._spoke - self._started) / (self._done - self._first)
            left = pace * (self._total - self._done)
            _log.info("%s: %d of %d, %.2f s each, about %.0f s left", self._what, self._done, self._total, pace, left)


@contextmanager
def working(what: str, into: Path | None = None) -> Iterator[None]:
    """Says on a terminal what is being done and for how long, where nobody knows how much of it there is; and how large `into` is.

    A step within another is shown in its place until it ends.
    """
    if not is_drawn():
        yield
        return
    line = _working[-1].line if _working else _bar(SpinnerColumn(), TextColumn("{task.description}"), _Size(), TimeElapsedColumn())
    _working.append(Step(what, into, line))
    try:
        _show(_working[-1])
        yield
    finally:
        _working.pop()
        if _working:
            _show(_working[-1])
        else:
            line.stop()


def _show(step: Step) -> None:
    if step.line.task_ids:
        step.line.update(step.line.task_ids[0], description=step.what, into=step.into)
    else:
        step.line.add_task(step.what, total=None, into=step.into)
        step.line.start()


class _Size(ProgressColumn):
    """How much the step's folder holds."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        into = task.fields["into"]
        held = 0
        for file in into.rglob("*") if into is not None else ():
            with suppress(OSError):  # it may be gone by now
                held += 0 if file.is_symlink() else file.stat().st_size
        return Text(f"{held / 1e6:.0f} MB" if held else "")


def _bar(*columns: ProgressColumn) -> Bar:
    return Bar(*columns, console=Console(stderr=True, emoji=False, markup=False), transient=True)
