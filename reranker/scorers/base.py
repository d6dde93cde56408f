"""What the executor asks of a scorer: a session per request, and scores per window.

A scorer knows a model (or an oracle, or two other scorers); a session knows one request. Whatever is
costly and shared by a request's windows (encoding, caches) happens once, in `open`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.types import UNBOUNDED, Reading, Request, Scores, Strategy

if TYPE_CHECKING:
    from firstrank.reranker.calibration.calibration import Opinion


class Session(Protocol):
    """One request's windows."""

    @property
    def lengths(self) -> Sequence[int]:
        """Prompt tokens that each candidate takes up, in first-stage order."""
        ...

    @property
    def max_window(self) -> int:
        """The most candidates that labels and context allow in one window."""
        ...

    async def score(self, indices: tuple[int, ...]) -> Scores:
        """Scores the candidates `indices`, shown to the model in that order: one prefill.

        Raises TransientError where trying again may help, EngineLost where no window will be scored again.
        """
        ...

    def close(self) -> None:
        """Aborts what is in flight and frees caches. Called once, however the request ended."""
        ...


def room_of(session: Session) -> int:
    """Prompt tokens that the candidates of a window may take together without being cut short: its `room`, if it states one."""
    room: int = getattr(session, "room", UNBOUNDED)
    return room


def reading_of(session: Session) -> Reading | None:
    """How much of the passages is read, if the session knows: its `reading`."""
    reading: Reading | None = getattr(session, "reading", None)
    return reading


class SupportsStanding(Protocol):
    """How a request's candidates stand before any window; see `Standing`."""

    @property
    def order(self) -> list[int]:
        """Candidates, best first."""
        ...

    @property
    def has_a_say(self) -> bool:
        """Whether that is part of the final score."""
        ...

    def before(self, strategy: Strategy) -> Strategy:
        """The strategy on the best candidates."""
        ...

    def joined(self, order: Sequence[int], raw: Sequence[float]) -> tuple[list[int], list[float]]:
        """The final order and its scores, with the model's order and scores given."""
        ...


def standing_of(session: Session) -> SupportsStanding | None:
    """The session's `standing`, if a prior stands before its model."""
    standing: SupportsStanding | None = getattr(session, "standing", None)
    return standing


Judge = Callable[[Mapping[int, float]], "Opinion | None"]
"""the model's values of the candidates that it has read -> what a calibration says of all"""


def judge_of(session: Session) -> Judge | None:
    """The session's `judge`, if its scorer is calibrated."""
    judge: Judge | None = getattr(session, "judge", None)
    return judge


def evidence_of(session: Session) -> Mapping[str, NDArray[np.float64]]:
    """What the session knows of each candidate by itself: its `evidence`, if a prior stands before its model."""
    evidence: Mapping[str, NDArray[np.float64]] = getattr(session, "evidence", {})
    return evidence


class Scorer(Protocol):
    """A way to score windows. Safe to use for many requests at once, from one event loop."""

    @property
    def name(self) -> str:
        """What traces call it."""
        ...

    @property
    def concurrency(self) -> int:
        """How many live requests keep it busy: few where windows are scored one by one, many where they share batches."""
        ...

    def open(self, request: Request) -> Session:
        """Encodes a request. Raises InputError where it cannot be ranked (a query too long, say)."""
        ...

    def close(self) -> None:
        """Frees the model. Idempotent."""
        ...
