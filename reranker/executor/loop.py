"""An event loop on a thread of its own, so that plain calls work anywhere: in a notebook's running loop, and from several threads.

A process that is forked has its parent's memory, but none of its threads: a loop there would wait for ever. It says so at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from firstrank.reranker.errors import InputError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines on one loop. The thread is a daemon, so a program that forgets `close` still ends; one that drops this ends it."""

    def __init__(self) -> None:
        self._closed = False
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(self._loop,), name="firstrank-loop", daemon=True)
        self._thread.start()
        weakref.finalize(self, _stop, self._loop, self._process).atexit = False

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that made the loop: its thread is not here."""
        return os.getpid() != self._process

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
            if not self._closed and not self.inherited:
                self.run(_close(items))

    def cancel(self) -> None:
        """Takes no more work, cancels what still runs, and lets it end; the loop goes on, so that what belongs to it can be closed."""
        if not self._closed and not self.inherited:
            self._closed = True
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()

    def close(self) -> None:
        """The same, and stops the loop; idempotent."""
        self.cancel()
        _stop(self._loop, self._process)
        if not self.inherited:
            self._thread.join()

    def _started(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        if self.inherited:
            coroutine.close()
            raise InputError(
                f"this Reranker was made in another process ({self._process}), from which this one was forked without its threads: "
                "make a Reranker in each process, after the fork (gunicorn without --preload, a DataLoader's worker_init_fn …)"
            )
        if self._closed:
            coroutine.close()
            raise InputError("this Reranker is closed: make a new one")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Ends the loop's thread, without waiting for it; what was forked leaves the parent's alone."""
    if os.getpid() == process and not loop.is_closed():
        with suppress(RuntimeError):  # it closes itself at this moment
            loop.call_soon_threadsafe(loop.stop)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncIterator[Any]) -> None:
    if close := getattr(items, "aclose", None):
        while getattr(items, "ag_running", False):  # an interrupted step is still ending
            await asyncio.sleep(0)
        await close()


async def _cancel_all() -> None:
    """Ends every task of the running loop but this one."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
