"""The batcher: like lengths together, and a turn for every owner."""

from __future__ import annotations

import asyncio
import threading

import pytest

from firstrank.reranker.errors import EngineLost, ScorerError
from firstrank.reranker.scorers.batcher import Batcher


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


def test_lanes_score_at_once_and_share_what_waits():
    meeting = threading.Barrier(2)

    def score(items):
        meeting.wait(timeout=120)  # breaks unless another lane comes too
        return items

    async def run():
        batcher = Batcher(score, max_windows=1, max_tokens=100, lanes=2)
        for _ in range(2):  # a second time, after the lanes have come to rest
            assert await asyncio.gather(*(batcher.score(i, 1, i % 3) for i in range(6))) == list(range(6))
        batcher.close()

    asyncio.run(run())


def test_a_closed_batcher_refuses_rather_than_never_answers():
    async def run():
        batcher = Batcher(lambda items: items, max_windows=1, max_tokens=100)
        assert await batcher.score("before", 1) == "before"
        batcher.close()
        with pytest.raises(EngineLost, match="closed: make a new one"):
            await asyncio.wait_for(batcher.score("after", 1), 120)

    asyncio.run(run())


def test_a_thread_that_cannot_be_set_up_fails_every_window(caplog):
    def setup():
        raise OSError("no threads left")

    async def run():
        batcher = Batcher(lambda items: items, max_windows=1, max_tokens=100, setup=setup)
        asked = (batcher.score(i, 1) for i in range(3))
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
        batcher.close()
        return answers

    assert all(isinstance(answer, EngineLost) and "make a fresh scorer" in str(answer) for answer in asyncio.run(run()))


def test_a_scorer_closed_in_the_middle_leaves_no_window_waiting():
    async def run():
        def score(items):
            loop.call_soon_threadsafe(batcher._threads.shutdown, False)
            return items

        loop = asyncio.get_running_loop()
        batcher = Batcher(score, max_windows=1, max_tokens=100)
        asked = (batcher.score(i, 1) for i in range(4))
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)

    answers = asyncio.run(run())
    assert answers[0] == 0
    assert isinstance(answers[-1], EngineLost)


def test_too_few_answers_are_an_error_of_every_window():
    async def run():
        batcher = Batcher(lambda items: [], max_windows=4, max_tokens=100)
        asked = (batcher.score(i, 1) for i in range(3))
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
        batcher.close()
        return answers

    assert all(isinstance(answer, ScorerError) and "0 answers to 1 windows" in str(answer) for answer in asyncio.run(run()))
