"""The executor's gate: what is in flight is bounded in tokens, and nobody is kept waiting behind a large request."""

from __future__ import annotations

import asyncio

from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.executor.gate import TokenGate
from firstrank.reranker.types import Outcome, Scores
from tests.reranker.fakes import one_window, request


def test_what_is_in_flight_is_bounded_in_tokens():
    most, now = 0, 0

    class Session:
        lengths = (10,) * 4
        max_window = 10

        async def score(self, indices):
            nonlocal most, now
            now += 10 * len(indices)
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 10 * len(indices)
            return Scores(tuple(map(float, indices)))

        def close(self):
            pass

    class Scorer:
        name, concurrency = "s", 100

        def open(self, asked):
            return Session()

    async def run():
        executor = Executor(Scorer(), max_tokens=100)
        return [result async for result in executor.stream([request(4, str(i)) for i in range(30)], one_window)]

    assert len(asyncio.run(run())) == 30
    assert most == 80


def test_a_request_that_asks_much_at_once_delays_no_other():
    """Its windows wait at the gate; that of a request which comes later is the next to pass."""
    seen = []

    class Session:
        lengths, max_window = (10,) * 40, 40

        def __init__(self, qid, hold):
            self.qid, self.hold = qid, hold

        async def score(self, indices):
            seen.append(self.qid)
            await self.hold.wait()
            return Scores(tuple(map(float, indices)))

        def close(self):
            pass

    class Scorer:
        name, concurrency = "s", 100

        def __init__(self):
            self.hold = asyncio.Event()

        def open(self, asked):
            return Session(asked.qid, self.hold)

    def pairs(view):
        yield [(i, i + 1) for i in range(0, view.n, 2)]
        return Outcome(range(view.n), certified=0)

    async def run():
        scorer = Scorer()
        executor = Executor(scorer, max_tokens=40)
        much = asyncio.create_task(executor.rank(request(40, "much"), pairs))
        while len(executor._tokens._queue) < 18:
            await asyncio.sleep(0.001)
        little = asyncio.create_task(executor.rank(request(2, "little"), pairs))
        while len(executor._tokens._queue) < 19:
            await asyncio.sleep(0.001)
        scorer.hold.set()
        await asyncio.gather(much, little)

    asyncio.run(run())
    assert seen[:3] == ["much", "much", "little"]
    assert seen.count("much") == 20


def test_cancelling_at_the_gate_gives_the_turn_to_the_next():
    async def run():
        gate = TokenGate(10)
        held = await gate.acquire(10, "a")
        large = asyncio.create_task(gate.acquire(10, "b"))
        small = asyncio.create_task(gate.acquire(2, "c"))
        await asyncio.sleep(0)
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        gate.release(held, "a")
        assert await small == 2
        gate.release(2, "c")
        assert await gate.acquire(10, "d") == 10

    asyncio.run(run())
