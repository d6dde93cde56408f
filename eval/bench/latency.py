"""Seconds a query, and FIRST against generation in a fair fight.

Both sides run on the same engine with the same model, dtype, prompts and passages. Generation has its KV cache and emits exactly
one complete ordering of the window, where it stops; what it would have answered freely is measured apart. Clients form a closed
loop: each sends its next query when its last one is answered, so a query's seconds hold its waiting too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from firstrank.eval.answers import Responses, responses_of
from firstrank.eval.costs import Latency, latency_of
from firstrank.eval.machine import scorer_facts
from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import BackendOptions, backend_of, open_scorer
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.openai.options import OpenAIOptions
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.vllm.options import VLLMOptions
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Answer, Request, Strategy, Trace

_log = logging.getLogger(__name__)
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

    setup: Setup
    requests: Sequence[Request]
    warmup: Sequence[Request]
    concurrencies: Sequence[int]
    repeats: int
    prefix_cache: str | None = None
    """on, off, or reset (emptied before each query, or before each pass where several queries run at once)"""


@dataclass(frozen=True, slots=True)
class Pass:
    """All requests once, at one concurrency."""

    traces: Sequence[Mapping[str, Any]]
    wall: float

    @property
    def median(self) -> float:
        return float(np.median([trace["seconds"] for trace in self.traces]))


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


def measure(plan: Plan, contestants: Sequence[Contestant]) -> list[Measurement]:
    """Times contestants pass by pass in turn, so that a machine that slows down slows them all; on vLLM, whose engines each take
    the whole device, one contestant after another. Raises what scorers raise; a query that fails ends it.
    """
    groups = [[one] for one in contestants] if isinstance(plan.setup.backend, VLLMOptions) else [list(contestants)]
    return [measurement for group in groups for measurement in _in_turn(plan, group)]


def _in_turn(plan: Plan, contestants: Sequence[Contestant]) -> list[Measurement]:
    with ExitStack() as opened:
        scorers = [_open(plan, contestant) for contestant in contestants]
        for one in scorers:
            opened.callback(one.scorer.close)
        return asyncio.run(_timed(plan, scorers))


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


class _Opened(NamedTuple):
    contestant: Contestant
    scorer: Scorer
    strategy: Strategy


def _open(plan: Plan, contestant: Contestant) -> _Opened:
    setup, options = plan.setup, plan.setup.backend
    if plan.prefix_cache is not None:
        options = _with_prefix_cache(options, plan.prefix_cache)
    if contestant.answer == "permutation" and isinstance(options, TransformersOptions | VLLMOptions):
        options = replace(options, constrained=not contestant.free)
    scorer, spec = open_scorer(setup.model, options, revision=setup.revision, answer=contestant.answer)
    return _Opened(contestant, scorer, setup.schedule.completed(spec.schedule).build())


async def _timed(plan: Plan, opened: Sequence[_Opened]) -> list[Measurement]:
    executors = {one.contestant: Executor(one.scorer) for one in opened}
    try:
        warmups = {one.contestant: await _pass(executors[one.contestant], one.strategy, plan.warmup, 1) for one in opened}
        passes: dict[tuple[Contestant, int], list[Pass]] = {}
        for concurrency, repeat in product(plan.concurrencies, range(plan.repeats)):
            for one in opened:
                if one.contestant.free and (concurrency, repeat) != (plan.concurrencies[0], 0):
                    continue
                reset = _resetter(one.scorer) if plan.prefix_cache == "reset" else None
                done = await _pass(executors[one.contestant], one.strategy, plan.requests, concurrency, reset)
                passes.setdefault((one.contestant, concurrency), []).append(done)
                what = f"{one.contestant.name}, {concurrency} at once, pass {repeat + 1}"
                _log.info("%s: median %.3f s, %.1f s in all", what, done.median, done.wall)
        return [_measurement(plan, one, passes, warmups[one.contestant].wall) for one in opened]
    finally:
        for executor in executors.values():
            executor.close()


def _measurement(plan: Plan, one: _Opened, passes: Mapping[tuple[Contestant, int], list[Pass]], warmup: float) -> Measurement:
    timings = (_timing(one.contestant, concurrency, done) for (whose, concurrency), done in passes.items() if whose == one.contestant)
    facts = scorer_facts(one.scorer) | {"warm-up, not counted": f"queries: {len(plan.warmup)}, seconds: {warmup:.1f}"}
    return Measurement(one.contestant, tuple(timings), warmup, facts)


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
        medians=tuple(one.median for one in passes),
        queries_per_second=len(traces) / sum(one.wall for one in passes),
        responses=responses_of(traces),
    )


def _with_prefix_cache(options: BackendOptions, prefix_cache: str) -> VLLMOptions:
    """vLLM's own setting. Raises InputError for a backend whose prefix cache is not ours to set."""
    if not isinstance(options, VLLMOptions):
        what = "that is the server's own setting" if isinstance(options, OpenAIOptions) else "each window is a whole prefill there"
        raise InputError(f"--prefix-cache {prefix_cache}: not for the backend {str(backend_of(options))!r}: {what}")
    return replace(options, engine=options.engine.model_copy(update={"enable_prefix_caching": prefix_cache != "off"}))


def _resetter(scorer: Any) -> Reset:
    """vLLM's own way to empty its prefix cache."""
    reset: Reset = scorer.engine.reset_prefix_cache
    return reset
