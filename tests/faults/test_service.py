"""A model that is taken away while it is being loaded is freed all the same."""

from __future__ import annotations

import asyncio
import threading

from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.metrics import Metrics
from firstrank.server.registry import Registry, ServedModel
from tests.reranker.fakes import FakeScorer


class Counted(FakeScorer):
    closed = 0

    def close(self) -> None:
        super().close()
        self.closed += 1


def test_a_model_that_goes_while_it_is_loaded_is_freed(tells):
    async def run() -> tuple[int, int]:
        gate, metrics = threading.Event(), Metrics()
        first, second = Counted(), Counted()

        def slowly():
            gate.wait(300)
            return second, Schedule()

        kept = ServedModel("kept", lambda: (first, Schedule()), metrics, slots=None)
        goes = ServedModel("goes", slowly, metrics, slots=None)
        registry = Registry([kept], {})
        await kept.load()
        registry.replace([kept, goes], {})
        await asyncio.sleep(0.05)
        registry.replace([kept], {})
        await asyncio.sleep(0.05)
        gate.set()
        async with asyncio.timeout(300):
            while not second.closed:
                await asyncio.sleep(0.01)
        found = first.closed, second.closed
        await registry.close()
        return found

    assert asyncio.run(run()) == (0, 1)
    tells(1)
