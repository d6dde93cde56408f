"""How well do workers on Ray scale? 1, 2, 4 … actors on this machine, each with a scorer that only sleeps.

    python -m benchmarks.ray_workers [--workers 1 2 4 8 16] [--queries 1024] [--seconds 0.2] [--batch 8]

What is measured is what Firstrank and Ray add: reading, chunks, dispatch, results. Work grows with the workers (weak scaling),
each has to sleep the same; a barrier keeps the start of the processes out of it. Prints a JSON line for each number of workers:
efficiency is one worker's time over that of n. Ends with 1 where it is below --least. Needs ray.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.arguments import parser_of
from firstrank.reranker.batch.ray import Workers, ray_engine
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Passage, Ranking, Request, Scores

DEPTH = 20  # one window a query


class Sleeper(OracleScorer):
    """Notes when each batch began and ended."""

    def _wait(self, batch: Sequence[Scores]) -> Sequence[Scores]:
        started = time.time()
        super()._wait(batch)
        return [replace(scores, notes=(f"{started} {time.time()}",)) for scores in batch]


@dataclass(frozen=True)
class SleepingSetup(Setup):
    """Opens when all `workers` are there."""

    folder: str = ""
    workers: int = 1
    seconds: float = 0.2
    batch: int = 8

    def open_scorer(self) -> tuple[Scorer, Schedule]:
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False):
            pass
        while len(list(Path(self.folder).iterdir())) < self.workers:
            time.sleep(0.05)
        return Sleeper({}, OracleOptions(seconds=self.seconds, batch=self.batch)), Schedule("full")


def requests(n: int) -> Iterator[Request]:
    for qid in range(n):
        yield Request("a query", tuple(Passage(f"d{qid}-{i}", "a passage") for i in range(DEPTH)), str(qid))


def measure(options: argparse.Namespace, workers: int) -> float:
    """Seconds from the first batch's start to the last one's end."""
    with tempfile.TemporaryDirectory() as folder:
        setup = SleepingSetup(folder=folder, workers=workers, seconds=options.seconds, batch=options.batch)
        started, ended, ranked = float("inf"), 0.0, 0
        with ray_engine(setup, Workers(workers)) as rank:
            for result in rank(requests(options.queries * workers)):
                assert isinstance(result, Ranking), result
                [note] = result.trace.notes
                began, finished = map(float, note.split())
                started, ended, ranked = min(started, began), max(ended, finished), ranked + 1
        assert ranked == options.queries * workers
        return ended - started


def main(words: Sequence[str] | None = None) -> int:
    parser = parser_of("ray_workers", __doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--queries", type=int, default=1024, help="a worker")
    parser.add_argument("--seconds", type=float, default=0.2, help="a batch")
    parser.add_argument("--batch", type=int, default=8, help="windows")
    parser.add_argument("--least", type=float, default=0.9, help="efficiency below which the exit code is 1")
    options = parser.parse_args(words)
    asleep = options.queries / options.batch * options.seconds
    alone, failed = None, False
    for workers in options.workers:
        seconds = measure(options, workers)
        alone = alone or seconds
        efficiency = alone / seconds
        failed |= efficiency < options.least
        rate = workers * options.queries / seconds
        line = {"workers": workers, "seconds": round(seconds, 2), "asleep": asleep, "queries_per_second": round(rate, 1)}
        print(json.dumps(line | {"efficiency": round(efficiency, 3), "of_asleep": round(asleep / seconds, 3)}), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
