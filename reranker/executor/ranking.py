"""What a request's windows come to at the end: its ranking, with the trace of what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from firstrank.reranker.alignment import align, falling, relevance, strictly_decreasing
from firstrank.reranker.scorers.base import SupportsStanding
from firstrank.reranker.types import Outcome, Ranking, Reading, Request, Result, Scores, Strategy, Trace, Windows, WindowTrace

if TYPE_CHECKING:
    from firstrank.reranker.calibration.calibration import Opinion


class Log:
    """What one request asked and got, round by round."""

    def __init__(self) -> None:
        self.rounds = 0
        self.partial = False
        self.reading: Reading | None = None
        self.asked: list[tuple[int, tuple[int, ...], Scores]] = []

    def add(self, windows: Windows, answers: list[Scores]) -> None:
        self.rounds += 1
        self.asked += [(self.rounds, window, scores) for window, scores in zip(windows, answers, strict=True)]

    @property
    def readings(self) -> dict[int, float]:
        """The last value of each candidate that was read."""
        return {i: value for _, window, scores in self.asked for i, value in zip(window, scores.values, strict=True)}


def name_of(strategy: Strategy) -> str:
    return getattr(strategy, "name", None) or getattr(strategy, "__qualname__", type(strategy).__name__).partition(".")[0]


def ranking(
    request: Request,
    strategy: Strategy,
    outcome: Outcome,
    log: Log,
    seconds: float,
    standing: SupportsStanding | None,
    opinion: Opinion | None,
) -> Ranking:
    """Scores, probabilities and trace of an order. `standing` is of a prior that has a say, `opinion` of a calibration."""
    passages = request.passages
    raw, order = align(outcome.order, [(window, scores.values) for _, window, scores in log.asked]), outcome.order
    if standing is not None and standing.has_a_say:
        order, joined = standing.joined(order, raw.tolist())
        raw = strictly_decreasing(np.array(joined, np.float32))
    probabilities, moved = _probabilities(order, opinion)
    places = zip(order, relevance(raw).tolist(), raw.tolist(), probabilities, strict=True)
    results = tuple([Result(passages[index], rank, index, *numbers) for rank, (index, *numbers) in enumerate(places, 1)])
    docids = [passage.docid for passage in passages]
    notes = dict.fromkeys([*outcome.notes, *(note for _, _, scores in log.asked for note in scores.notes)])
    trace = Trace(
        qid=request.qid,
        strategy=name_of(strategy),
        rounds=log.rounds,
        windows=tuple(
            WindowTrace(round_, tuple([docids[i] for i in window]), scores.prompt_tokens, scores.seconds, scores.scorer, scores.notes)
            for round_, window, scores in log.asked
        ),
        prompt_tokens=sum(scores.prompt_tokens for _, _, scores in log.asked),
        generated_tokens=sum(scores.generated_tokens for _, _, scores in log.asked),
        seconds=seconds,
        certified=0 if standing is not None and standing.has_a_say else outcome.certified,
        notes=tuple(notes),
        cost=sum(scores.cost for _, _, scores in log.asked),
        cut=log.reading.cut if log.reading is not None else 0,
        cut_tokens=log.reading.tokens if log.reading is not None else None,
        partial=log.partial,
        calibrated=opinion is not None,
        nothing_relevant=None if opinion is None else opinion.nothing_relevant,
        moved=moved,
    )
    return Ranking(request.qid, request.query, results, trace)


def _probabilities(order: Sequence[int], opinion: Opinion | None) -> tuple[Sequence[float | None], int]:
    """Of each result, best first, and how many of them the order moved."""
    if opinion is None:
        return [None] * len(order), 0
    found, moved = falling(opinion.probabilities[list(order)])
    return found.tolist(), moved
