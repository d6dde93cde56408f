"""Seconds a query, and FIRST against generation in a fair fight.

Both sides run on the same engine with the same model, dtype, prompts and passages. Generation has its KV cache and emits exactly
one complete ordering of the window, where it stops; what it would have answered freely is measured apart. Clients form a closed
loop: each sends its next query when its last one is answered, so a query's seconds hold its waiting too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.latency import Latency, latency_of
from eval.machine import scorer_facts
from eval.response import Responses, responses_of
from reranker.errors import InputError
from reranker.executor import Executor
from reranker.schedule import Schedule
from reranker.scorers import Scorer, open_scorer
from reranker.types import Answer, Request, Strategy, Trace

Progress = Callable[[str], None]
Reset = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to have one model rank. `free` generation is not held to the language of orderings, and is timed alone only."""

    name: str
    answer: Answer | None = None
    free: bool = False


FIRST = Contestant("FIRST", "logits")
GENERATION = Contestant("generation", "permutation")
FREE = Contestant("generation, unconstrained", "permutation", free=True)
COMPARISONS: Mapping[str | None, tuple[Contestant, ...]] = {
    None: (Contestant("as the model is"),),
    "permutation": (FIRST, GENERATION, FREE),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is measured. `requests` are timed, `warmup` are not."""

    model: str
    backend: str
    schedule: Schedule
    requests: Sequence[Request]
    warmup: Sequence[Request]
    concurrencies: Sequence[int]
    repeats: int
    prefix_cache: str | None = None
    """on, off, or reset (emptied before each query, or before each pass where several queries run at once)"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """of the backend, the same for all contestants"""


@dataclass(frozen=True, slots=True)
class Pass:
    """All requests once, at one concurrency."""

    traces: Sequence[Mapping[str, Any]]
    wall: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One contestant at one concurrency, over all repeats."""

    contestant: str
    concurrency: int
    latency: Latency
    medians: tuple[float, ...]
    """of each repeat, in their order"""
    queries_per_second: float
    responses: Responses | None

    @property
    def spread(self) -> float:
        """How far the repeats' medians lie apart, as a share of the smallest."""
        return max(self.medians) / min(self.medians) - 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """FIRST's time over generation's at one concurrency."""

    concurrency: int
    median: float
    mean: float
    throughput: float
    """FIRST's queries a second over generation's"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found of one contestant, and how it ran."""

    contestant: Contestant
    timings: tuple[Timing, ...]
    warmup_seconds: float
    facts: Mapping[str, Any]


def measure(plan: Plan, contestant: Contestant, say: Progress = lambda text: None) -> Measurement:
    """Opens the contestant's scorer, warms it up, times it, and closes it. Raises what scorers raise; a query that fails ends it."""
    options = dict(plan.options) | _prefix_option(plan)
    if contestant.answer == "permutation":
        options["constrained"] = not contestant.free
    scorer, spec = open_scorer(plan.model, plan.backend, answer=contestant.answer, **options)
    try:
        strategy = plan.schedule.completed(spec).strategy()
        warmup, timings = asyncio.run(_timed(plan, contestant, scorer, strategy, say))
        return Measurement(
            contestant, tuple(timings), warmup, scorer_facts(scorer) | {"warm-up": f"{len(plan.warmup)} queries, {warmup:.1f} s"}
        )
    finally:
        scorer.close()


def ratios(first: Measurement, generation: Measurement) -> Iterator[Ratio]:
    """FIRST against generation at each concurrency at which both were timed."""
    others = {timing.concurrency: timing for timing in generation.timings}
    for timing in first.timings:
        if other := others.get(timing.concurrency):
            yield Ratio(
                timing.concurrency,
                timing.latency.p50 / other.latency.p50,
                timing.latency.mean / other.latency.mean,
                timing.queries_per_second / other.queries_per_second,
            )


async def _timed(plan: Plan, contestant: Contestant, scorer: Scorer, strategy: Strategy, say: Progress) -> tuple[float, list[Timing]]:
    executor = Executor(scorer)
    try:
        warmup = await _pass(executor, strategy, plan.warmup, 1)
        timings = []
        for concurrency in (1,) if contestant.free else plan.concurrencies:
            passes = []
            for repeat in range(1 if contestant.free else plan.repeats):
                reset = _resetter(scorer) if plan.prefix_cache == "reset" else None
                passes.append(await _pass(executor, strategy, plan.requests, concurrency, reset))
                median = np.median([trace["seconds"] for trace in passes[-1].traces])
                say(f"{contestant.name}, {concurrency} at once, pass {repeat + 1}: median {median:.3f} s, {passes[-1].wall:.1f} s in all")
            timings.append(_timing(contestant, concurrency, passes))
        return warmup.wall, timings
    finally:
        executor.close()


async def _pass(executor: Executor, strategy: Strategy, requests: Sequence[Request], concurrency: int, reset: Reset | None = None) -> Pass:
    """All requests, by `concurrency` clients that share one queue."""
    traces: list[Trace] = []
    queue = iter(requests)

    async def client() -> None:
        for request in queue:
            if reset and concurrency == 1:
                await reset()
            traces.append((await executor.rank(request, strategy)).trace)

    if reset:
        await reset()
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as clients:
            for _ in range(concurrency):
                clients.create_task(client())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return Pass([trace.to_dict() for trace in traces], time.perf_counter() - started)


def _timing(contestant: Contestant, concurrency: int, passes: Sequence[Pass]) -> Timing:
    traces = [trace for one in passes for trace in one.traces]
    return Timing(
        contestant=contestant.name,
        concurrency=concurrency,
        latency=latency_of(traces),
        medians=tuple(float(np.median([trace["seconds"] for trace in one.traces])) for one in passes),
        queries_per_second=len(traces) / sum(one.wall for one in passes),
        responses=responses_of(traces),
    )


def _prefix_option(plan: Plan) -> dict[str, Any]:
    if plan.prefix_cache is None:
        return {}
    if plan.backend != "vllm":
        what = "each window is a whole prefill there" if plan.backend == "transformers" else "that is the server's own setting"
        raise InputError(f"--prefix-cache {plan.prefix_cache}: not for the backend {plan.backend!r}: {what}")
    return {"engine": {"enable_prefix_caching": plan.prefix_cache != "off"}}


def _resetter(scorer: Scorer) -> Reset:
    """vLLM's own way to empty its prefix cache."""
    reset: Reset = scorer.engine.reset_prefix_cache  # type: ignore[attr-defined]
    return reset
