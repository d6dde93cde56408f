"""Who may come in, whose turn it is, and when someone who was sent away may come again.

A service holds a bounded number of requests (`Admission`, asked before a body is read). Each model ranks so many of them
at a time (`Turns`), first come, first served, and knows from its latest requests how long its queue will take.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from firstrank.reranker.errors import Overloaded

_WEIGHT = 0.1
"""of the latest request in the running mean"""
_LONGEST = 60
"""seconds that anyone is told to wait"""


class Turns:
    """A model's slots and its queue. Work is counted in documents: windows, and so seconds, are proportional to them."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.waiting = self.running = 0
        self._documents = 0
        self._seconds_per_document = 0.0
        self._slots = asyncio.Semaphore(slots)

    def seconds(self, documents: int = 0) -> float:
        """The time in which all that is here now, and `documents` more, will be done; 0 while nothing is known."""
        return (self._documents + documents) * self._seconds_per_document / self.slots

    @asynccontextmanager
    async def take(self, documents: int, seconds_left: float) -> AsyncIterator[None]:
        """A slot, waited for. Raises Overloaded at once where the queue is longer than the time that the request has."""
        if self._documents and (needed := self.seconds(documents)) > seconds_left:
            raise Overloaded(f"the queue takes about {needed:.0f} s, and the request has {seconds_left:.0f} s")
        self._documents += documents
        try:
            self.waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self.waiting -= 1
            self.running += 1
            started = asyncio.get_running_loop().time()
            ended = False
            try:
                yield
                ended = True
            finally:
                self._learn((asyncio.get_running_loop().time() - started) / documents, ended)
                self.running -= 1
                self._slots.release()
        finally:
            self._documents -= documents

    def _learn(self, seconds_per_document: float, ended: bool) -> None:
        """A request that did not end teaches only that it would have taken longer."""
        known = self._seconds_per_document
        if not ended and seconds_per_document <= known:
            return
        self._seconds_per_document = known + _WEIGHT * (seconds_per_document - known) if known else seconds_per_document


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
