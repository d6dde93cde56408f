"""Where the wall time of a batch goes: the model, and all that is not the model, by the code that works at the moment.

    python -m benchmarks.overhead --collection DL19 --run bm25.trec.gz [--queries 5] [--candidates 100] [--system model=default]

A thread looks every few milliseconds at what all others are at. A moment is the model's when any of them is inside a network (its own or an
encoder's); else it is that of the file of ours that works, or nobody's. The batch is read, ranked and written as `firstrank rerank` does,
with the model loaded before. Prints a JSON line: the share of moments that are not the model's, and the functions that they belong to.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

from benchmarks.arguments import add_candidates, parser_of
from benchmarks.compare import setup_of
from benchmarks.prior import read_requests
from firstrank.reranker.batch.job import Inputs, Job, Missing
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.rankllm import ScoredRequest, write_requests

MODEL = (
    "reranker/scorers/transformers/packed.py",
    "reranker/scorers/transformers/reader.py",
    "reranker/scorers/transformers/head.py",
    "reranker/models/int8.py",
    "reranker/encoders/dense.py",
    "reranker/encoders/sparse.py",
)
"""where networks run"""
WAITING = ("wait", "select", "get", "result", "_wait_for_tstate_lock", "_worker", "join", "__next__")
"""innermost functions of threads that do nothing"""
PAUSE = 0.002  # seconds between two looks


class Place(NamedTuple):
    """Which file of ours is at work, in which function."""

    file: str
    function: str


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("overhead", __doc__)
    add_candidates(parser)
    parser.add_argument("--system", default="model=default", help="NAME=VALUE,… as `python -m benchmarks.compare` takes it")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(words)
    requests, _ = read_requests(options.collection, options.split, options.run, options.queries, options.candidates)
    setup = setup_of(options.system, options.threads)
    with tempfile.TemporaryDirectory() as scratch, Reranker(setup) as reranker:
        file = Path(scratch) / "requests.jsonl"
        write_requests(file, (ScoredRequest(one, -np.arange(len(one.passages), dtype=np.float32)) for one in requests))
        list(reranker.rank_many(requests[:1]))
        inputs = Inputs(None, None, None, file, options.candidates, False, Missing.fail)
        job = Job(inputs, setup, Path(scratch) / "output.trec", Path(scratch) / "trace.jsonl")
        started = time.perf_counter()
        found = watched(lambda: job.run(nullcontext(reranker.stream)))
        seconds = time.perf_counter() - started
    others = {place: count for place, count in found.most_common() if place is None or place.file not in MODEL}
    print(
        json.dumps(
            {
                "queries": len(requests),
                "candidates": options.candidates,
                "seconds": round(seconds, 2),
                "moments": found.total(),
                "not_the_model": round(sum(others.values()) / found.total(), 4),
                "where": {
                    "nobody" if place is None else f"{place.file}:{place.function}": round(count / found.total(), 4)
                    for place, count in list(others.items())[:12]
                },
            }
        )
    )


def watched(work: Callable[[], object]) -> Counter[Place | None]:
    """How often each place was seen at work; a moment belongs to the model if any thread was there."""
    seen: Counter[Place | None] = Counter()
    done = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(PAUSE / 10)  # or whoever computes in Python would be seen only when he has ended

    def look() -> None:
        own = threading.get_ident()
        while not done.wait(PAUSE):
            places = [place_of(frame) for thread, frame in sys._current_frames().items() if thread != own]
            working = [place for place in places if place is not None]
            seen[next((place for place in working if place.file in MODEL), working[0] if working else None)] += 1

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
        sys.setswitchinterval(interval)
    return seen


def place_of(frame: FrameType | None) -> Place | None:
    """The innermost code of ours that a thread is in, or None where it waits, or runs none."""
    if frame is None or (frame.f_code.co_name in WAITING and "firstrank" not in frame.f_code.co_filename):
        return None
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        for folder in ("reranker", "eval", "server"):
            if folder in path.parts and "site-packages" not in path.parts:
                return Place("/".join(path.parts[path.parts.index(folder) :]), frame.f_code.co_name)
        frame = frame.f_back
    return None


if __name__ == "__main__":
    sys.exit(main())
