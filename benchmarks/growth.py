"""How cost grows: with the candidates of a query, and with the queries of a batch; and whether memory grows with the latter.

    python -m benchmarks.growth [--model DIR] [--candidates 10 100 1000] [--queries 1 10 100 1000] [--depth 20] [--strategy sliding]

By default a tiny model made on the spot, so that what is not the model weighs most. A whole batch is measured: file, journal, output.
Prints a JSON line for each question: processor seconds of each size (the least of --rounds), the slope of a straight line through their
logarithms, that of the last step alone, and the resident memory after each size.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import parser_of
from benchmarks.memory import resident
from firstrank.reranker.batch.job import Inputs, Job, Missing
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.rankllm import ScoredRequest, write_requests
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Passage, Request

WORDS = ("market", "bees", "and", "honey", "in", "the", "old", "town", "where", "rain", "falls", "on", "stone", "people", "trade", "wool")


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("growth", __doc__)
    parser.add_argument("--model")
    parser.add_argument("--candidates", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--depth", type=int, default=20, help="candidates of a query, where queries grow")
    parser.add_argument("--strategy", default="sliding")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or tiny_model(Path(scratch) / "model")
        setup = Setup.of(model, strategy=options.strategy, threads=1)
        with Reranker(setup) as reranker:

            def batch(queries: int, depth: int) -> None:
                file, output = Path(scratch) / f"{queries}-{depth}.jsonl", Path(scratch) / "output.trec"
                if not file.exists():
                    write_requests(file, requests(queries, depth))
                inputs = Inputs(None, None, None, file, depth, False, Missing.fail)
                Job(inputs, setup, output, output.with_suffix(".trace")).run(nullcontext(reranker.stream))

            batch(1, options.depth)
            by_queries = grown(lambda count: batch(count, options.depth), options.queries, options.rounds)
            print(json.dumps({"queries": by_queries.pop("sizes"), "candidates": options.depth} | by_queries), flush=True)
            by_candidates = grown(lambda count: batch(1, count), options.candidates, options.rounds)
            print(json.dumps({"candidates": by_candidates.pop("sizes"), "queries": 1} | by_candidates), flush=True)


def tiny_model(folder: Path) -> str:
    from tests.conftest import make_tiny_model

    return str(make_tiny_model(folder))


def requests(queries: int, depth: int) -> Iterator[ScoredRequest]:
    draw = random.Random(0)
    for number in range(queries):
        passages = tuple(Passage(f"d{i}", " ".join(draw.choices(WORDS, k=20))) for i in range(depth))
        yield ScoredRequest(Request(" ".join(draw.choices(WORDS, k=5)), passages, f"q{number}"), -np.arange(depth, dtype=np.float32))


def grown(work: Callable[[int], None], sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Sizes in their order, each `rounds` times; the memory of a size is what is held after its last round."""
    seconds, memory = dict[int, float](), dict[int, float]()
    for size in sizes:
        taken = []
        for _ in range(rounds):
            started = time.process_time()
            work(size)
            taken.append(time.process_time() - started)
        gc.collect()
        seconds[size], memory[size] = min(taken), resident()
    return {
        "sizes": list(sizes),
        "CPU_seconds": [round(one, 3) for one in seconds.values()],
        "exponent": exponent(seconds),
        "exponent_of_last_step": exponent({size: seconds[size] for size in sizes[-2:]}),
        "resident_MiB": [round(one, 1) for one in memory.values()],
    }


def exponent(seconds: Mapping[int, float]) -> float:
    """The slope of log(seconds) over log(size), by least squares."""
    slope, _ = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)
    return round(float(slope), 3)


if __name__ == "__main__":
    sys.exit(main())
