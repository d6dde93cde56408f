"""An event loop on a thread of its own, so that plain calls work anywhere: in a notebook's running loop, and from several threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from firstrank.reranker.errors import InputError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines on one loop; the thread is a daemon, so a program that forgets `close` still ends."""

    def __init__(self) -> None:
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="firstrank-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. An interrupt (Ctrl-C) cancels it. Raises InputError once closed."""
        future = self._started(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def run_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The same, awaited from another loop; cancelling the caller cancels it."""
        return await asyncio.wrap_future(self._started(coroutine))

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """An async iterator's items, one at a time; leaving early closes it."""
        try:
            while True:
                yield self.run(_next(items))
        except StopAsyncIteration:
            return
        finally:
            if not self._closed:
                self.run(_close(items))

    def cancel(self) -> None:
        """Takes no more work, cancels what still runs, and lets it end; the loop goes on, so that what belongs to it can be closed."""
        if not self._closed:
            self._closed = True
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()

    def close(self) -> None:
        """The same, and stops the loop; idempotent."""
        self.cancel()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _started(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        if self._closed:
            coroutine.close()
            raise InputError("this Reranker is closed: make a new one")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncIterator[Any]) -> None:
    if close := getattr(items, "aclose", None):
        await close()


async def _cancel_all() -> None:
    """Ends every task of the running loop but this one."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
