"""How fast a model scores windows, learned from what it has just done."""

from __future__ import annotations

import time
from collections.abc import Callable

_KEPT = 0.98
"""of what was known, with each window: the last fifty or so count"""
_FRESH = 60.0
"""seconds after which what was learned is no longer relied on: a model that once was slow gets another chance"""


class Pace:
    """Seconds for each window while there is anything to score: busy time and windows, both fading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_flight = 0
        self._since = self._busy = self._windows = 0.0
        self._learned = float("-inf")

    def begin(self) -> None:
        if not self._in_flight:
            self._since = self._clock()
        self._in_flight += 1

    def end(self, *, scored: bool) -> None:
        """A window that was not scored (its client left, it failed) tells nothing."""
        self._in_flight -= 1
        if scored:
            now = self._clock()
            self.learn(now - self._since)
            self._since = now

    def learn(self, seconds: float, windows: float = 1.0) -> None:
        self._busy, self._windows = self._busy * _KEPT + seconds, self._windows * _KEPT + windows
        self._learned = self._clock()

    @property
    def seconds(self) -> float | None:
        """For a window; None while nothing is known, or nothing new."""
        return self._busy / self._windows if self._clock() - self._learned < _FRESH else None
