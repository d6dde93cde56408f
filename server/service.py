"""From a checked request to a ranking: the queue, the deadline, the client who may leave, the stop that drains."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from starlette.types import Receive

from firstrank.reranker.errors import DeadlineExceeded, EngineLost, InputError, Overloaded
from firstrank.reranker.strategies.register import either
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Ranking, Request, Strategy
from firstrank.server.admission import Admission, retry_after
from firstrank.server.errors import Refused
from firstrank.server.metrics import Metrics
from firstrank.server.registry import Registry, ServedModel
from firstrank.server.settings import Settings

T = TypeVar("T")
_MOST_REPEATS = 16
"""a request may not ask for more shuffles or passes: each repeats all its windows"""


class Service:
    """What all requests share. Belongs to one event loop."""

    def __init__(self, settings: Settings, registry: Registry, metrics: Metrics) -> None:
        self.settings, self.registry, self.metrics = settings, registry, metrics
        self.admission = Admission(lambda: settings.max_queue + registry.slots)
        self.stopping = False
        self._stop_at = float("inf")
        self._limits: set[asyncio.Timeout] = set()
        metrics.watch_inside(lambda: self.admission.inside)

    async def rank(self, model: ServedModel, request: Request, strategy: Strategy, deadline: float) -> Ranking:
        """The ranking, once it is this request's turn. `deadline` is a time of the loop's clock.

        Raises Refused (429, 503), DeadlineExceeded, EngineLost, InputError, ScorerError.
        """
        executor, turns = model.executor, model.turns
        assert executor is not None
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout_at(min(deadline, self._stop_at)) as limit:
                self._limits.add(limit)
                async with turns.take(len(request.passages), deadline - asked):
                    self.metrics.queue_seconds.labels(model.name).observe(loop.time() - asked)
                    return await executor.rank(request, strategy)
        except TimeoutError as error:
            if self.stopping and loop.time() < deadline:
                raise self.closed() from error
            raise DeadlineExceeded("not ranked in time; X-Request-Timeout and the service's timeout say how long that is") from error
        except Overloaded as error:
            raise Refused(429, str(error), retry_after=retry_after(turns.seconds())) from error
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


def strategy_of(schedule: Schedule, name: str | None, top_n: int | None, n: int) -> Strategy:
    """A model's schedule, with the strategy that a request names.

    It may stop early where the best `top_n` of n are wanted and it can vouch for them.
    Raises InputError for a strategy that does not exist or would cost too much.
    """
    if name is not None:
        _check_cost(name)
        schedule = replace(schedule, strategy=name)
    whole = schedule.build()
    if top_n and top_n < n:
        with suppress(InputError):
            return either(schedule.build(top_n), whole)
    return whole


def _check_cost(name: str) -> None:
    for pair in name.partition(":")[2].split(","):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key not in ("shuffles", "passes"):
            continue
        with suppress(ValueError):  # what is no number, the strategy itself refuses
            if int(value) > _MOST_REPEATS:
                raise InputError(f"strategy {name!r}: {key} may be {_MOST_REPEATS} at most in a request")


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
