"""Who may come in, whose turn it is, and when someone who was sent away may come again.

A service holds a bounded number of requests (`Admission`). Of each model so many are ranked at a time (`Turns`), least of all those
of one client; the windows of all that are being ranked take turns by client and by request in the scorer (`Batcher`, `TokenGate`).
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from firstrank.reranker.errors import Overloaded
from firstrank.server.pace import Pace

_LONGEST = 60
"""seconds that anyone is told to wait"""


@dataclass(eq=False, slots=True)
class Work:
    """A request in its model's queue: whose it is, how many windows it still takes, as far as one can tell, and its tokens so far."""

    client: str
    left: int
    tokens: int = 0


WORK: ContextVar[Work | None] = ContextVar("work", default=None)
"""what the window that is being scored belongs to"""


class TooSlow(Overloaded):
    """The request would not be ranked in time."""

    def __init__(self, message: str, seconds: float, beyond: float) -> None:
        super().__init__(message)
        self.seconds, self.beyond = seconds, beyond


class Share:
    """So many at a time, and one of each client in any case. Who waits is let in by how many its client has in; then by age."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._in: Counter[str] = Counter()
        self._queue: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def enter(self, client: str) -> AsyncIterator[None]:
        if self._in[client] and self._in.total() >= self.most:
            await self._turn(client)
        else:
            self._in[client] += 1
        try:
            yield
        finally:
            self._leave(client)

    async def _turn(self, client: str) -> None:
        entry = (client, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._queue:
                self._queue.remove(entry)
            else:
                self._leave(client)
            raise

    def _leave(self, client: str) -> None:
        self._in[client] -= 1
        if not self._in[client]:
            del self._in[client]
        while self._queue:
            entry = min(self._queue, key=lambda entry: self._in[entry[0]])
            if self._in[entry[0]] and self._in.total() >= self.most:
                return
            self._queue.remove(entry)
            self._in[entry[0]] += 1
            entry[1].set_result(None)


class Turns:
    """A model's slots, its queue, and how long the queue takes. Work is counted in windows."""

    def __init__(self, slots: int, pace: Pace | None = None) -> None:
        self.slots, self.pace = slots, pace or Pace()
        self.waiting = self.running = 0
        self._share = Share(slots)
        self._works: set[Work] = set()

    def seconds(self, client: str = "", windows: int | None = None) -> float:
        """The time in which a client's request of so many windows would be done, or all that is here; 0 while nothing is known.

        Clients take turns, and so do one client's requests: nobody waits for more of another's windows than it has itself.
        """
        pace = self.pace.seconds
        if pace is None:
            return 0.0
        if windows is None:
            return pace * sum(work.left for work in self._works)
        own = windows + sum(min(work.left, windows) for work in self._works if work.client == client)
        others: defaultdict[str, int] = defaultdict(int)
        for work in self._works:
            if work.client != client:
                others[work.client] += work.left
        return pace * (own + sum(min(left, own) for left in others.values()))

    @asynccontextmanager
    async def take(self, client: str, windows: int, seconds_left: float = math.inf) -> AsyncIterator[Work]:
        """A place among those that are ranked, waited for. A request of one window needs no slot.

        Raises TooSlow at once where it would not be done in the time that it has.
        """
        if (needed := self.seconds(client, windows)) > seconds_left:
            raise TooSlow(self._said(windows, needed, seconds_left), needed, needed - seconds_left)
        work = Work(client, windows)
        self._works.add(work)
        try:
            if windows <= 1:
                with self._as_running(work):
                    yield work
            else:
                async with self._slot(client):
                    with self._as_running(work):
                        yield work
        finally:
            self._works.discard(work)

    @asynccontextmanager
    async def _slot(self, client: str) -> AsyncIterator[None]:
        self.waiting += 1
        waiting = True
        try:
            async with self._share.enter(client):
                self.waiting, waiting = self.waiting - 1, False
                yield
        finally:
            self.waiting -= waiting

    @contextmanager
    def _as_running(self, work: Work) -> Iterator[None]:
        self.running += 1
        before = WORK.set(work)
        try:
            yield
        finally:
            WORK.reset(before)
            self.running -= 1

    def _said(self, windows: int, needed: float, seconds_left: float) -> str:
        alone = windows * (self.pace.seconds or 0.0)
        return (
            f"this request takes about {needed:.0f} s ({windows} windows, {alone:.1f} s of them its own), and it has {seconds_left:.0f} s: "
            "ask for fewer documents or another strategy, give it more time, or send partial: true for the best order so far"
        )


class Admission:
    """Counts the requests in the service; `most` says how many it holds."""

    def __init__(self, most: Callable[[], int]) -> None:
        self.inside = 0
        self._most = most

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Raises Overloaded where the service is full."""
        if self.inside >= self._most():
            raise Overloaded(f"{self.inside} requests are here already, and there is no room for more")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def retry_after(seconds: float) -> int:
    """Whole seconds to wait, from a backlog's seconds."""
    return min(max(1, math.ceil(seconds)), _LONGEST)
