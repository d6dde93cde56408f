"""What strategies share: orders from scores, several strategies run as one, and checks of what was asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise, takewhile
from typing import Literal, TypeVar

from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Outcome, Scores, View, Windows

T = TypeVar("T")

Asking = Generator[Windows, list[Scores], T]
"""asks windows, is sent their scores, and returns a T in the end"""

Steps = Asking[Outcome]
"""a strategy at work on one request"""

TOP = 10
"""places that the strategies certify which certify any number, unless they are told"""

WindowSize = int | Literal["auto"]
"""candidates a window; `auto`: as many as the model's labels and context allow, with every passage whole"""


@dataclass(frozen=True, slots=True)
class Fit:
    """How many candidates make a window: a fixed number, or as many as fill the context."""

    least: int
    """any so many fit"""
    most: int
    room: int
    """tokens of all of a window's candidates"""
    lengths: Sequence[int]

    def first(self, items: Sequence[int]) -> int:
        """How many of `items`, from the first on, make a window."""
        tokens = accumulate(self.lengths[i] for i in items[self.least : self.most])
        known = sum(self.lengths[i] for i in items[: self.least])
        return min(self.least, len(items)) + sum(1 for _ in takewhile(lambda more: known + more <= self.room, tokens))

    def last(self, items: Sequence[int]) -> int:
        """The same, from the last on backwards."""
        return self.first(items[::-1])


def fit_of(window: WindowSize, view: View) -> Fit:
    """The windows that may be asked of a request. Raises InputError as `check_window` does, and where `auto` leaves no room for two."""
    check_window(window, view)
    if window != "auto":
        return Fit(window, window, view.room, view.lengths)
    longest = accumulate(sorted(view.lengths, reverse=True)[: view.max_window])
    least = sum(1 for _ in takewhile(lambda tokens: tokens <= view.room, longest))
    if least < min(2, view.n):
        raise InputError("window=auto: the two longest passages do not fit the context together; give a window, which cuts passages to fit")
    return Fit(max(least, 2), view.max_window, view.room, view.lengths)


def by_score(indices: Sequence[int], scores: Scores) -> list[int]:
    """`indices`, best first; ties in first-stage order."""
    value = dict(zip(indices, scores.values, strict=True))
    return sorted(indices, key=lambda i: (-value[i], i))


def together(*runs: Asking[T]) -> Asking[list[T]]:
    """Runs several generators as one: in each round, the windows of all that have not ended are one batch."""
    results: dict[int, T] = {}
    answers: dict[int, list[Scores] | None] = dict.fromkeys(range(len(runs)))
    while True:
        asked: dict[int, Windows] = {}
        for i, answer in answers.items():
            try:
                asked[i] = next(runs[i]) if answer is None else runs[i].send(answer)
            except StopIteration as stop:
                results[i] = stop.value
        if not asked:
            return [results[i] for i in range(len(runs))]
        scores = iter((yield [window for windows in asked.values() for window in windows]))
        answers = {i: [next(scores) for _ in windows] for i, windows in asked.items()}


def renamed(steps: Steps, names: Sequence[int], settled: Callable[[Sequence[int], Scores], Scores] | None = None) -> Steps:
    """Steps that know candidates by their places among `names`; those outside see candidates. `settled` mends each window's scores."""
    answers: list[Scores] | None = None
    while True:
        try:
            windows = next(steps) if answers is None else steps.send(answers)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return replace(outcome, order=[names[i] for i in outcome.order])
        asked = [tuple(names[i] for i in window) for window in windows]
        scored = yield asked
        answers = scored if settled is None else [settled(window, scores) for window, scores in zip(asked, scored, strict=True)]


def check_window(window: WindowSize, view: View | None = None) -> None:
    """Raises InputError for a window that cannot rank; with a view, for one that the model cannot take."""
    if window != "auto" and window < 2:
        raise InputError(f"window={window}: a window needs at least 2 candidates, for one alone has nothing to be compared with")
    if view is None or view.n < 2:
        return
    if view.max_window < 2:
        raise InputError(f"the model's labels and context allow {view.max_window} of these candidates in a window, and ranking needs 2")
    if window != "auto" and min(window, view.n) > view.max_window:
        raise InputError(
            f"window={window}: the model's labels and context allow at most {view.max_window} of these candidates in a window; "
            f"use window={view.max_window}, or window=auto"
        )


def size(window: WindowSize, view: View) -> int:
    """Candidates that any window may hold, whichever they are. Raises InputError as `fit_of` does."""
    return fit_of(window, view).least


def check_at_least(least: int, **given: int | None) -> None:
    """Raises InputError for a number that is too small."""
    for name, value in given.items():
        if value is not None and value < least:
            raise InputError(f"{name}={value}: must be at least {least}")


def check_top_k(top_k: int | None, guaranteed: int, view: View, remedy: str) -> None:
    """Raises InputError where the best `top_k` of a request are more than a strategy guarantees."""
    if top_k is not None and min(top_k, view.n) > guaranteed:
        raise InputError(f"top_k={top_k}: the best {guaranteed} of {view.n} candidates are guaranteed, no more; {remedy}")


def parts(items: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """`items` cut into as few runs of at most `most` as there can be, of lengths as equal as can be."""
    count = -(-len(items) // most)
    edges = [len(items) * i // count for i in range(count + 1)] if count else []
    return [tuple(items[start:end]) for start, end in pairwise(edges)]
