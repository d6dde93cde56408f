"""What is in flight, bounded in tokens; and which requests are alive, bounded in number."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from typing import Any

from firstrank.reranker.types import Failure, Ranking


class TokenGate:
    """A semaphore that counts tokens. What is larger than the gate passes alone.

    Where some wait, the next to pass is a window of the client that has least in flight, and among its own of the request for which
    that holds, first come, first served among equals: a request that asks a hundred windows at once is no wall before the others.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity, self._free = capacity, capacity
        self._held: Counter[object] = Counter()
        self._clients: Counter[object] = Counter()
        self._queue: list[tuple[int, object, object, asyncio.Future[None]]] = []

    async def acquire(self, tokens: int, owner: object, client: object = None) -> int:
        """Waits for its turn; returns what to `release`."""
        tokens = min(tokens, self._capacity)
        if not self._queue and tokens <= self._free:
            self._take(tokens, owner, client)
            return tokens
        turn = asyncio.get_running_loop().create_future()
        entry = (tokens, owner, client, turn)
        self._queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(tokens, owner, client)
            else:
                self._queue.remove(entry)
                self._admit()
            raise
        return tokens

    def release(self, tokens: int, owner: object, client: object = None) -> None:
        self._take(-tokens, owner, client)
        self._admit()

    def _take(self, tokens: int, owner: object, client: object) -> None:
        self._free -= tokens
        for held, one in ((self._held, owner), (self._clients, client)):
            held[one] += tokens
            if not held[one]:
                del held[one]

    def _admit(self) -> None:
        while self._queue:
            entry = min(self._queue, key=lambda entry: (self._clients[entry[2]], self._held[entry[1]]))
            tokens, owner, client, turn = entry
            if tokens > self._free:
                return
            self._queue.remove(entry)
            self._take(tokens, owner, client)
            turn.set_result(None)


class Alive:
    """The requests that are being ranked, oldest first."""

    def __init__(self, most: int) -> None:
        self._most, self._unfinished = most, 0
        self._tasks: deque[asyncio.Task[Ranking | Failure]] = deque()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def fill(self, coroutines: Iterator[Coroutine[Any, Any, Ranking | Failure]]) -> None:
        """Starts requests until `most` are unfinished. Finished ones that wait for their turn are bounded too."""
        while self._unfinished < self._most and len(self._tasks) < 4 * self._most:
            coroutine = next(coroutines, None)
            if coroutine is None:
                return
            task = asyncio.ensure_future(coroutine)
            task.add_done_callback(self._count_down)
            self._tasks.append(task)
            self._unfinished += 1

    async def first(self) -> Ranking | Failure:
        return await self._tasks.popleft()

    async def any(self) -> Ranking | Failure:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = next(task for task in self._tasks if task in done)
        self._tasks.remove(task)
        return task.result()

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _count_down(self, task: object) -> None:
        self._unfinished -= 1
