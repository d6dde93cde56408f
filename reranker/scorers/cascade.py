"""Two scorers as one: the small one scores every window, and the windows that it is unsure of go to the large one (arXiv 2404.10136)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from reranker.errors import InputError
from reranker.scorers.base import Scorer, Session
from reranker.scorers.deferral import Rule, entropy
from reranker.types import Request, Scores


class CascadeScorer:
    """Defers a window where the small scorer is among the least sure of the request's windows so far, within a budget.

    `budget` is the share of a request's windows that the large scorer may see, 0 to 1. It holds at every moment, whatever
    number of windows is still to come, so a request of fewer than 1 / budget windows never reaches the large scorer. Which
    windows are deferred depends on the request alone, not on what else is running. A deferred window costs both prompts;
    traces name its scorer "SMALL>LARGE". Owns both scorers. Raises InputError for a budget that is no share.
    """

    def __init__(self, small: Scorer, large: Scorer, *, budget: float = 0.3, rule: Rule = entropy) -> None:
        if not 0.0 <= budget <= 1.0:
            raise InputError(f"defer_budget={budget}: is a share of a request's windows, from 0 to 1")
        self.small, self.large, self.budget, self.rule = small, large, budget, rule
        self.name = f"{small.name}>{large.name}"

    @property
    def concurrency(self) -> int:
        return max(self.small.concurrency, self.large.concurrency)

    def open(self, request: Request) -> CascadeSession:
        small = self.small.open(request)
        try:
            return CascadeSession(self, small, self.large.open(request))
        except BaseException:
            small.close()
            raise

    def close(self) -> None:
        self.small.close()
        self.large.close()


class CascadeSession:
    """One request's windows. They are judged in the order in which they were asked, also where they are scored together."""

    def __init__(self, scorer: CascadeScorer, small: Session, large: Session) -> None:
        self._scorer, self._small, self._large = scorer, small, large
        self.lengths: Sequence[int] = tuple(map(max, small.lengths, large.lengths))
        self.max_window = min(small.max_window, large.max_window)
        self._doubts: list[float] = []
        self._deferred = 0
        self._judged = asyncio.Event()
        self._judged.set()
        self._owed: dict[tuple[int, ...], Scores] = {}

    async def score(self, indices: tuple[int, ...]) -> Scores:
        first = self._owed.pop(indices, None)
        if first is None:
            first, defer = await self._first(indices)
            if not defer:
                return first
        try:
            second = await self._large.score(indices)
        except BaseException:
            self._owed[indices] = first  # asked again, it goes straight to the large scorer and counts once
            raise
        return replace(
            second,
            prompt_tokens=first.prompt_tokens + second.prompt_tokens,
            generated_tokens=first.generated_tokens + second.generated_tokens,
            seconds=first.seconds + second.seconds,
            scorer=self._scorer.name,
        )

    def close(self) -> None:
        try:
            self._small.close()
        finally:
            self._large.close()

    async def _first(self, indices: tuple[int, ...]) -> tuple[Scores, bool]:
        """The small scorer's answer, and whether it is to be deferred."""
        before, self._judged = self._judged, asyncio.Event()
        mine = self._judged
        try:
            scores = await self._small.score(indices)
            await before.wait()
            return scores, self._defer(self._scorer.rule(scores.values))
        finally:
            mine.set()

    def _defer(self, doubt: float) -> bool:
        """Within the budget, and among that share of the windows so far."""
        self._doubts.append(doubt)
        allowed = self._scorer.budget * len(self._doubts) + 1e-9
        if self._deferred + 1 > allowed or sum(other > doubt for other in self._doubts) >= allowed:
            return False
        self._deferred += 1
        return True
