"""How fast windows are scored: as many as can be at once, and one query's wait with few and many clients."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from benchmarks.gpu.clock import closed_loop, latencies, peak_memory, wait
from benchmarks.gpu.networks import POINTS, described, loaded, release, requests_of, scorer_of
from benchmarks.gpu.plan import Plan, Row
from firstrank.eval.bench.roof import Shape, flops_of_window, shape_of
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Ranking, Request, Strategy


def throughput(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """Queries as many as the scorer takes, by shape, kind of numbers and strategy."""
    for shape in plan.shapes:
        for dtype in ("bfloat16", "fp8"):
            if dtype == "fp8" and (plan.device == "cpu" or not find_spec("torchao")):
                yield {"shape": shape, "numbers": dtype, "strategy": "not measured: needs a GPU and torchao"}
                continue
            release()  # the network before is no longer held by a function
            yield from _throughput(shape, dtype, plan, roofs.get(dtype))


def _throughput(shape: str, dtype: str, plan: Plan, roof: float | None) -> Iterator[Row]:
    with ExitStack() as open_:
        model = loaded(described(shape, Path(open_.enter_context(tempfile.TemporaryDirectory()))))
        scorer = open_.enter_context(scorer_of(model, plan, dtype))
        for name, candidates, strategy in strategies(plan):
            found = measured(scorer, strategy, plan, candidates)
            yield {"shape": shape, "numbers": dtype, "strategy": name} | found.row(shape_of(model.path), roof)


def strategies(plan: Plan) -> Iterator[tuple[str, int, Strategy]]:
    """A name, the candidates of a query, and the strategy."""
    window, stride = plan.window, plan.window // 2
    yield f"one window of {window}", window, parse_strategy("full", window=window, stride=stride, passes=1)
    yield f"sliding, {plan.candidates}", plan.candidates, parse_strategy("sliding", window=window, stride=stride, passes=1)
    yield f"topdown, {plan.candidates}", plan.candidates, parse_strategy("topdown", window=window, stride=stride, passes=1)
    yield f"full, {plan.candidates}", plan.candidates, parse_strategy("full", window=window, stride=stride, passes=1)


class Measured:
    """What queries took together."""

    def __init__(self, rankings: list[Ranking], seconds: float) -> None:
        windows = [window for ranking in rankings for window in ranking.trace.windows]
        self.queries, self.windows, self.seconds = len(rankings), len(windows), seconds
        self.passages = sum(len(window.docids) for window in windows)
        self.lengths = [window.prompt_tokens for window in windows]

    def row(self, shape: Shape, roof: float | None) -> Row:
        tokens = sum(self.lengths)
        counts = {"windows/s": self.windows, "passages/s": self.passages, "tokens/s": tokens, "queries/s": self.queries}
        found: Row = {name: count / self.seconds for name, count in counts.items()} | {"tokens a window": tokens / self.windows}
        if roof:
            found["share of roof"] = sum(flops_of_window(shape, length) for length in self.lengths) / self.seconds / roof
        return found | peak_memory()


def measured(scorer: Scorer, strategy: Strategy, plan: Plan, candidates: int) -> Measured:
    """Rounds of queries, doubled until one takes as long as the plan says."""
    asked = requests_of(plan, candidates)
    count = 2
    while True:
        requests = list(islice(asked, count))
        found = asyncio.run(_round(scorer, strategy, requests))
        if count > 2 and (found.seconds >= plan.seconds / 2 or count >= 4096):
            return found
        count = max(4, min(4096, int(count * plan.seconds / max(found.seconds, 1e-3))))


async def _round(scorer: Scorer, strategy: Strategy, requests: list[Request]) -> Measured:
    executor = Executor(scorer)
    started = time.perf_counter()
    rankings = [one async for one in executor.stream(requests, strategy)]
    wait()
    return Measured([one for one in rankings if isinstance(one, Ranking)], time.perf_counter() - started)


def latency(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """Seconds a query, clients each asking again once answered."""
    with ExitStack() as open_:
        model = loaded(described(plan.small, Path(open_.enter_context(tempfile.TemporaryDirectory()))))
        scorer = open_.enter_context(scorer_of(model, plan))
        for name, candidates, strategy in strategies(plan):
            for clients in plan.clients:
                found = asyncio.run(asked_by(scorer, strategy, plan, candidates, clients))
                yield {"shape": plan.small, "strategy": name, "clients": clients} | found


async def asked_by(scorer: Scorer, strategy: Strategy, plan: Plan, candidates: int, clients: int) -> Row:
    """Queries of so many clients, one after another each, after one that is not counted."""
    executor, asked = Executor(scorer), requests_of(plan, candidates)
    await executor.rank(next(asked), strategy)
    return latencies(*await closed_loop(lambda: executor.rank(next(asked), strategy), clients, plan.seconds, 2))


def readings(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """All candidates in one window, where each passage sees those before it; and each passage by itself behind the query, read once."""
    for name, settings in (("one window", None), ("each by itself", POINTS)):
        with ExitStack() as open_:
            folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            model = loaded(described(plan.small, folder, settings) if settings else described(plan.small, folder))
            scorer = open_.enter_context(scorer_of(model, plan))
            strategy = parse_strategy("full" if settings is None else "pointwise", window=plan.window, stride=plan.window // 2, passes=1)
            for clients in plan.clients:
                found = asyncio.run(asked_by(scorer, strategy, plan, plan.candidates, clients))
                yield {"shape": plan.small, "passages read": name, "candidates": plan.candidates, "clients": clients} | found
