"""Windows of many requests -> batches for a scorer that wants batches.

A batch is scored on a thread of its own, so the event loop stays free; behind it a full one may stand ready, so that the
thread never waits for the loop. Several such lanes may share the windows. A batch takes the oldest window that waits, of the
client that was served longest ago and of the owner (a request) among its own for which that holds, and fills up with those nearest
to it in length, so that little is padded. A
failed batch is split until the window at fault stands alone: its neighbours are scored all the same. A window whose caller has
left is never scored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from firstrank.reranker.errors import EngineLost, ScorerError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    tokens: int
    owner: object
    client: object
    future: asyncio.Future[Answer]


_Submitted = tuple[list[_Waiting[Item, Answer]], asyncio.Future[Sequence[Answer]]]


class Batcher(Generic[Item, Answer]):
    """`score_batch` is called with at most `max_windows` items whose padded size is at most `max_tokens`, on `lanes` threads.

    A single item larger than `max_tokens` still goes, alone. `setup` runs once on each thread, before its first batch.
    """

    def __init__(
        self,
        score_batch: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        max_windows: int,
        max_tokens: int,
        lanes: int = 1,
        setup: Callable[[], None] | None = None,
    ) -> None:
        self._score_batch = score_batch
        self._max_windows, self._max_tokens = max_windows, max_tokens
        self._lanes = lanes
        self._threads = ThreadPoolExecutor(lanes, "firstrank-scorer", initializer=setup)
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._batches = 0
        self._served: dict[object, int] = {}
        self._clients: dict[object, int] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def waiting(self) -> int:
        """Windows that no batch has taken yet."""
        return len(self._waiting)

    async def score(self, item: Item, tokens: int, owner: object = None, client: object = None) -> Answer:
        """The answer to one item. Raises what `score_batch` raised for it, tried alone, and EngineLost once closed.

        Clients take turns, and so do the owners of each: one that asks for much at once does not keep the others waiting.
        """
        if self._closed:
            raise EngineLost("this scorer is closed: make a new one (`Reranker.close` also closes the scorer that was passed to it)")
        loop = asyncio.get_running_loop()
        entry: _Waiting[Item, Answer] = _Waiting(item, tokens, owner, client, loop.create_future())
        self._waiting.append(entry)
        self._pumps = [pump for pump in self._pumps if not pump.done()]
        if len(self._pumps) < self._lanes:
            self._pumps.append(loop.create_task(self._run()))
        return await entry.future

    def close(self) -> None:
        """Lets batches in flight end, then frees the threads; what still waits is cancelled."""
        self._closed = True
        for entry in self._waiting:
            entry.future.cancel()
        self._waiting.clear()
        self._threads.shutdown(wait=True)

    async def _run(self) -> None:
        await asyncio.sleep(0)  # whoever is ready to ask in this turn of the loop shares the first batch
        submitted: deque[_Submitted[Item, Answer]] = deque()
        while True:
            if batch := self._take(full=bool(submitted)):
                submitted.append(self._submit(batch))
                if len(submitted) == 1 and (batch := self._take(full=True)):
                    submitted.append(self._submit(batch))
            if not submitted:
                return
            await self._settle(*submitted.popleft())

    def _take(self, *, full: bool) -> list[_Waiting[Item, Answer]]:
        """The next batch; with `full`, only one that nobody who comes later could join."""
        self._waiting = [entry for entry in self._waiting if not entry.future.done()]
        if not self._waiting or (full and (self._max_windows == 1 or len(self._waiting) < self._max_windows)):
            return []
        oldest = min(self._waiting, key=lambda entry: (self._clients.get(entry.client, 0), self._served.get(entry.owner, 0)))
        batch = [oldest] if self._max_windows == 1 else self._filled(oldest)
        self._batches += 1
        self._clients = self._turns(self._clients, {entry.client for entry in self._waiting}, {entry.client for entry in batch})
        self._served = self._turns(self._served, {entry.owner for entry in self._waiting}, {entry.owner for entry in batch})
        taken = set(map(id, batch))
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        return batch

    def _filled(self, oldest: _Waiting[Item, Answer]) -> list[_Waiting[Item, Answer]]:
        batch: list[_Waiting[Item, Answer]] = []
        longest = 0
        for entry in sorted(self._waiting, key=lambda entry: (entry is not oldest, abs(entry.tokens - oldest.tokens)))[: self._max_windows]:
            longest = max(longest, entry.tokens)
            if batch and longest * (len(batch) + 1) > self._max_tokens:
                break
            batch.append(entry)
        return batch

    def _turns(self, before: dict[object, int], present: set[object], served: set[object]) -> dict[object, int]:
        """Who was served when, of those who are here."""
        kept = {one: turn for one, turn in before.items() if one in present}
        return kept | dict.fromkeys(served, self._batches)

    def _submit(self, batch: list[_Waiting[Item, Answer]]) -> _Submitted[Item, Answer]:
        loop, items = asyncio.get_running_loop(), [entry.item for entry in batch]
        try:
            return batch, loop.run_in_executor(self._threads, self._score_batch, items)
        except RuntimeError as error:  # closed meanwhile, or `setup` failed
            lost: asyncio.Future[Sequence[Answer]] = loop.create_future()
            lost.set_exception(_gone(error))
            return batch, lost

    async def _settle(self, batch: list[_Waiting[Item, Answer]], answering: asyncio.Future[Sequence[Answer]]) -> None:
        try:
            answers = await answering
            if len(answers) != len(batch):
                raise ScorerError(f"the scorer gave {len(answers)} answers to {len(batch)} windows")
        except BrokenExecutor as error:
            await self._settle_failed(batch, _gone(error))
            return
        except Exception as error:
            await self._settle_failed(batch, error)
            return
        for entry, answer in zip(batch, answers, strict=True):
            if not entry.future.done():
                entry.future.set_result(answer)

    async def _settle_failed(self, batch: list[_Waiting[Item, Answer]], error: Exception) -> None:
        if len(batch) > 1 and not self._closed and not isinstance(error, EngineLost):
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                await self._settle(*self._submit(half))
            return
        for entry in batch:
            if not entry.future.done():
                entry.future.set_exception(error)


def _gone(error: Exception) -> EngineLost:
    return EngineLost(f"the scorer's thread is gone ({error}): make a fresh scorer")
