"""Scorers for tests that need no model: what they score is plain to see."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.types import Passage, Request, Scores


def request(n: int, qid: str = "q", values: Sequence[float] | None = None) -> Request:
    """n passages whose text is their value: by default the worst first, so that a right order is the reverse."""
    values = range(n) if values is None else values
    return Request("query", tuple(Passage(f"d{i}", str(value)) for i, value in enumerate(values)), qid)


class FakeSession:
    def __init__(self, scorer: FakeScorer, asked: Request) -> None:
        self._scorer, self._request = scorer, asked
        self.lengths = (scorer.tokens,) * len(asked.passages)
        self.max_window = scorer.max_window
        self.closed = False

    async def score(self, indices: tuple[int, ...]) -> Scores:
        texts = [self._request.passages[i].text for i in indices]
        asked = self._request
        return await self._scorer.batcher.score((asked.owner or asked.qid, texts), self._scorer.tokens * len(indices), self, asked.owner)

    def close(self) -> None:
        self.closed = True
        self._scorer.open_sessions -= 1


class FakeScorer:
    """Scores a passage by the number that its text is. `hook` sees (qid, texts) first and may raise."""

    name = "fake"

    def __init__(
        self,
        *,
        hook: Callable[[str, list[str]], None] | None = None,
        max_windows: int = 64,
        seconds: float = 0.0,
        tokens: int = 10,
        max_window: int = 128,
        concurrency: int = 256,
    ) -> None:
        self.hook, self.seconds, self.tokens, self.max_window, self.concurrency = hook, seconds, tokens, max_window, concurrency
        self.batches: list[int] = []
        self.open_sessions = 0
        self.batcher: Batcher[tuple[str, list[str]], Scores] = Batcher(self._score, max_windows=max_windows, max_tokens=1 << 30)

    def open(self, asked: Request) -> FakeSession:
        self.open_sessions += 1
        return FakeSession(self, asked)

    def close(self) -> None:
        self.batcher.close()

    def _score(self, items: Sequence[tuple[str, list[str]]]) -> list[Scores]:
        self.batches.append(len(items))
        if self.seconds:
            time.sleep(self.seconds)
        for qid, texts in items:
            if self.hook:
                self.hook(qid, texts)
        return [
            Scores(tuple(map(float, texts)), prompt_tokens=self.tokens * len(texts), scorer=self.name, batch=len(items))
            for _, texts in items
        ]


def one_window(view):
    """A strategy: everything in one window."""
    [scores] = yield [tuple(range(view.n))]
    from firstrank.reranker.types import Outcome

    return Outcome(sorted(range(view.n), key=lambda i: -scores.values[i]), certified=view.n)
