"""The loop on its own thread: what is left of it when it is closed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from firstrank.reranker.executor.loop import LoopThread


def test_closing_cancels_what_still_runs_and_lets_it_end():
    """An engine's own tasks live on the loop; destroyed while pending, they would say so on standard error."""
    ended = []

    async def forever():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        ended.append(True)

    async def start():
        return asyncio.get_running_loop().create_task(forever())

    loop = LoopThread()
    task = loop.run(start())
    loop.close()
    loop.close()
    assert task.done()
    assert ended == [True]
