"""The batcher: like lengths together, and a turn for every owner."""

from __future__ import annotations

import asyncio

import pytest

from reranker.batcher import Batcher
from reranker.errors import EngineLost


def test_the_batcher_puts_like_lengths_together():
    batches = []

    def score(items):
        batches.append(sorted(items))
        return items

    async def run():
        batcher = Batcher(score, max_windows=8, max_tokens=100)
        await asyncio.gather(*(batcher.score(length, length) for length in (10, 50, 11, 50, 12, 200)))
        batcher.close()

    asyncio.run(run())
    assert batches == [[10, 11, 12], [50, 50], [200]]


def test_owners_take_turns_in_the_batcher():
    """Ten windows of one request, then one of another: the other is second, not eleventh."""
    seen = []

    def score(items):
        seen.extend(items)
        return items

    async def run():
        batcher = Batcher(score, max_windows=1, max_tokens=100)
        await asyncio.gather(*(batcher.score(f"many {i}", 1, "many") for i in range(10)), batcher.score("one", 1, "one"))
        batcher.close()

    asyncio.run(run())
    assert seen[1] == "one"
    assert [item for item in seen if item != "one"] == [f"many {i}" for i in range(10)]


def test_a_closed_batcher_refuses_rather_than_never_answers():
    async def run():
        batcher = Batcher(lambda items: items, max_windows=1, max_tokens=100)
        assert await batcher.score("before", 1) == "before"
        batcher.close()
        with pytest.raises(EngineLost, match="closed: make a fresh one"):
            await asyncio.wait_for(batcher.score("after", 1), 5)

    asyncio.run(run())
