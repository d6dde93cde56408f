"""How near the executor comes to the ideal: many requests over an oracle that takes 10 ms a batch of up to 64 windows.

    python -m benchmarks.executor [--requests 1000] [--strategies sliding topdown …] [--depth 100]

One batch is in flight at a time. Prints a line for each strategy: windows, the ideal time of their batches, wall time, the ratio of
the two, and processor time a window.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence

from benchmarks.arguments import parser_of
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Ranking, Request

BATCH, SECONDS = 64, 0.01


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("executor", __doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--strategies", nargs="+", default=["sliding", "topdown", "tournament", "blitz", "consistent", "full"])
    parser.add_argument("--depth", type=int, default=100)
    options = parser.parse_args(words)
    print(f"{options.requests} requests of {options.depth}, {SECONDS * 1000:g} ms a batch of {BATCH}")
    for name in options.strategies:
        windows, seconds, cpu = asyncio.run(timed(name, options.requests, options.depth))
        ideal = math.ceil(windows / BATCH) * SECONDS
        figures = f"{windows:6} windows  ideal {ideal:6.2f} s  wall {seconds:6.2f} s  ratio {seconds / ideal:.3f}"
        print(f"{name:12} {figures}  CPU {cpu / windows * 1e6:.0f} us a window", flush=True)


async def timed(name: str, count: int, depth: int) -> tuple[int, float, float]:
    """Windows asked, and seconds, wall and CPU, from the first request to the last ranking."""
    passages = tuple(Passage(f"d{i}", "a passage") for i in range(depth))
    grades = {f"d{i}": i * 7919 % 4 for i in range(depth)}
    requests = [Request("query", passages, str(i)) for i in range(count)]
    scorer = OracleScorer({request.qid: grades for request in requests}, OracleOptions(seconds=SECONDS, batch=BATCH))
    executor = Executor(scorer)
    windows = 0
    started, busy = time.perf_counter(), time.process_time()
    async for ranking in executor.stream(requests, parse_strategy(name)):
        assert isinstance(ranking, Ranking)
        windows += len(ranking.trace.windows)
    seconds = time.perf_counter() - started
    cpu = time.process_time() - busy
    executor.close()
    scorer.close()
    return windows, seconds, cpu


if __name__ == "__main__":
    sys.exit(main())
