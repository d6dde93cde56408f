"""How far long work is: a bar on a terminal; elsewhere a plain line now and then."""

from __future__ import annotations

import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts up to `total`; `done` of it was there before."""

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
            left = pace * (self._total - self._done)
            _log.info("%s: %d of %d, %.2f s each, about %.0f s left", self._what, self._done, self._total, pace, left)
