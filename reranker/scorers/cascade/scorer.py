"""Two scorers as one: the small one scores every window, and the windows that it is unsure of go to the large one (arXiv 2404.10136)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers.base import Scorer, Session, reading_of, room_of
from firstrank.reranker.scorers.cascade.deferral import Rule, Stake, discounts, entropy
from firstrank.reranker.strategies.windows import parts
from firstrank.reranker.types import Request, Scores


class CascadeScorer:
    """Defers the windows of a request in which most is expected to be lost, within a budget.

    What may be lost is how unsure the small scorer is (`rule`, of the label logits) times what is at stake (`stake`, of the
    window's places in the first-stage order: doubt about the first twenty counts more than about the last). `budget` is the
    share of a request's windows that the large scorer may see, 0 to 1, and holds for every strategy that reads all
    candidates: it is spent against the windows asked so far and the fewest that the unread candidates still take. So a
    request of fewer than 1 / budget windows never reaches the large scorer. Which windows are deferred depends on the
    request alone, not on what else is running. A deferred window costs both prompts; traces name its scorer "SMALL>LARGE".
    Owns both scorers. Raises InputError for a budget that is no share.
    """

    def __init__(self, small: Scorer, large: Scorer, *, budget: float = 0.3, rule: Rule = entropy, stake: Stake = discounts) -> None:
        check_budget(budget)
        self.small, self.large, self.budget, self.rule, self.stake = small, large, budget, rule, stake
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


def check_budget(budget: float) -> None:
    if not 0.0 <= budget <= 1.0:
        raise InputError(f"defer_budget={budget}: must be a share of a request's windows, from 0 to 1")


class CascadeSession:
    """One request's windows. They are judged in the order in which they were asked, also where they are scored together."""

    def __init__(self, scorer: CascadeScorer, small: Session, large: Session) -> None:
        self._scorer, self._small, self._large = scorer, small, large
        self.lengths: Sequence[int] = tuple(map(max, small.lengths, large.lengths))
        self.max_window = min(small.max_window, large.max_window)
        self.room = min(room_of(small), room_of(large))
        self.reading = reading_of(small)
        self._purse = _Purse(scorer, len(self.lengths))
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
            return scores, self._purse.spend(indices, self._scorer.rule(scores.values))
        finally:
            mine.set()


class _Purse:
    """What a request may still defer, and what it is kept for."""

    def __init__(self, scorer: CascadeScorer, n: int) -> None:
        self._scorer = scorer
        self._unread = set(range(n))
        self._doubts: list[float] = []
        self._deferred, self._largest = 0, 1

    def spend(self, window: tuple[int, ...], doubt: float) -> bool:
        """Whether to defer this window: fewer windows that are still to come promise more than the purse can pay for."""
        self._unread -= {*window}
        self._doubts.append(doubt)
        self._largest = max(self._largest, len(window))
        to_come = parts(sorted(self._unread), self._largest)
        left = int(self._scorer.budget * (len(self._doubts) + len(to_come)) + 1e-9) - self._deferred
        here, usual = doubt * self._scorer.stake(window), median_low(self._doubts)
        if left <= sum(usual * self._scorer.stake(part) > here for part in to_come):
            return False
        self._deferred += 1
        return True
