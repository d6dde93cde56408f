"""Drives a strategy without an executor: ten lines, no event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from firstrank.reranker.types import UNBOUNDED, Outcome, Scores, Strategy, View, Windows

Answer = Callable[[tuple[int, ...]], Sequence[float]]


class Driven(NamedTuple):
    outcome: Outcome
    rounds: list[Windows]

    @property
    def windows(self) -> list[tuple[int, ...]]:
        return [window for windows in self.rounds for window in windows]


def drive(
    strategy: Strategy,
    n: int,
    answer: Answer,
    *,
    max_window: int | None = None,
    seed: int = 0,
    lengths: Sequence[int] | None = None,
    room: int = UNBOUNDED,
) -> Driven:
    """Runs a strategy to its end over n candidates, each window scored by `answer`."""
    generator = strategy(View(n, lengths or (10,) * n, n if max_window is None else max_window, seed, room))
    rounds: list[Windows] = []
    answers: list[Scores] | None = None
    while True:
        try:
            windows = next(generator) if answers is None else generator.send(answers)
        except StopIteration as stop:
            return Driven(stop.value, rounds)
        rounds.append([tuple(window) for window in windows])
        answers = [Scores(tuple(answer(window))) for window in windows]


def truth(grades: Sequence[float]) -> list[int]:
    """The right order: by grade, ties in first-stage order."""
    return sorted(range(len(grades)), key=lambda i: (-grades[i], i))
