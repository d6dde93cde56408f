"""From a checked request to a ranking: the queue, the deadline, the client who may leave, the stop that drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive

from firstrank.reranker.errors import DeadlineExceeded, EngineLost, InputError, Overloaded
from firstrank.reranker.executor.executor import Terms
from firstrank.reranker.types import Ranking
from firstrank.server.admission import Admission, TooSlow, retry_after
from firstrank.server.errors import Refused
from firstrank.server.metrics import Metrics
from firstrank.server.registry import Registry, ServedModel
from firstrank.server.settings import Settings
from firstrank.server.shapes.asked import Asked
from firstrank.server.tracing import Tracing
from firstrank.server.windows import asked_schedule, strategy_of, windows_of

T = TypeVar("T")
_ASSEMBLY = 0.25
"""seconds of a partial request's time, half of it at most, are kept for putting its answer together"""
_INLINE = 200
"""documents of a request whose windows are counted at once; of more, on a thread"""


@dataclass(frozen=True, slots=True)
class Call:
    """What a request is beside its words: whose it is, when its time is up, what it took."""

    owner: str
    started: float
    deadline: float
    """times of the event loop's clock"""
    timing: dict[str, float] = field(default_factory=dict)
    spend: Callable[[int], None] = lambda tokens: None
    """is told the tokens that the request took, whether it got a ranking or not"""


class Service:
    """What all requests share. Belongs to one event loop."""

    def __init__(
        self, settings: Settings, registry: Registry, metrics: Metrics, tracing: Tracing, reload: Callable[[], None] = lambda: None
    ) -> None:
        self.settings, self.registry, self.metrics, self.tracing, self.reload = settings, registry, metrics, tracing, reload
        self.admission = Admission(lambda: settings.max_queue + registry.slots)
        self.stopping = False
        self._stop_at = float("inf")
        self._limits: set[asyncio.Timeout] = set()
        metrics.watch_inside(lambda: self.admission.inside)

    async def rank(self, model: ServedModel, asked: Asked, call: Call) -> Ranking:
        """The ranking, once it is this request's turn.

        Raises Refused (429, 503), DeadlineExceeded, EngineLost, InputError, ScorerError.
        """
        executor, turns = model.executor, model.turns
        assert executor is not None
        assert model.schedule is not None
        schedule = asked_schedule(model.schedule, asked.strategy, self.settings.strategies)
        n, most = len(asked.documents), self.settings.max_windows
        count = (schedule, asked.top_n, model.read_at_most(n), most)
        windows = windows_of(*count) if n <= _INLINE else await asyncio.to_thread(windows_of, *count)
        request = asked.request(self.settings.max_document_chars, call.owner)
        loop = asyncio.get_running_loop()
        patience = float("inf") if asked.partial else call.deadline - loop.time()
        terms = Terms(_end(asked, call), most, asked.whole, asked.partial)
        try:
            async with asyncio.timeout_at(min(call.deadline, self._stop_at)) as limit:
                self._limits.add(limit)
                queued = loop.time()
                with self.tracing.part("queue and rank"):
                    async with turns.take(call.owner, windows, patience) as work:
                        began = loop.time()
                        call.timing["queue"] = began - queued
                        self.metrics.queue_seconds.labels(model.name).observe(began - queued)
                        try:
                            ranking = await executor.rank(request, strategy_of(schedule, asked.top_n, n), terms)
                        finally:
                            call.spend(work.tokens)
                        call.timing["rank"] = loop.time() - began
                        return ranking
        except TimeoutError as error:
            if self.stopping and loop.time() < call.deadline:
                raise self.closed() from error
            raise DeadlineExceeded("not ranked in time; X-Request-Timeout and the service's timeout say how long that is") from error
        except TooSlow as error:
            told = {"x-estimated-seconds": f"{error.seconds:.1f}"}
            raise Refused(429, str(error), retry_after=retry_after(error.beyond), headers=told) from error
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, EngineLost) and model.executor is executor:
                self.registry.revive(model)
            if model.executor is not executor or model.state != "ready":
                raise EngineLost(f"model {model.name!r}: {error}") from error
            raise
        finally:
            self._limits.discard(limit)

    def drain(self) -> None:
        """From now on nobody comes in, and who is in has the drain's seconds left."""
        self.stopping = True
        self._stop_at = asyncio.get_running_loop().time() + self.settings.drain
        for limit in self._limits:
            if (ends := limit.when()) is not None and ends > self._stop_at and not limit.expired():
                limit.reschedule(self._stop_at)

    def closed(self) -> Refused:
        return Refused(503, "the service is being stopped", kind="stopping", retry_after=5, headers={"connection": "close"})

    def full(self, error: Overloaded) -> Refused:
        """The answer to a request for which the service has no room."""
        backlog = max(model.turns.seconds() for model in self.registry.models.values())
        return Refused(429, str(error), retry_after=retry_after(backlog))


def _end(asked: Asked, call: Call) -> float:
    return call.deadline - min(_ASSEMBLY, (call.deadline - call.started) / 2) if asked.partial else call.deadline


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Raises Refused 499 as soon as the client disconnects; the work is cancelled then."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(499, "the client has gone")
        if task.cancelled():  # not by us: the scorer was closed under it
            raise EngineLost("the request's windows were cancelled")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
