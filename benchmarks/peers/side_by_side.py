"""Systems that rank the same requests in turn: seconds a query, and ratios to the first system within each round.

    python -m benchmarks.peers.side_by_side REQUESTS.jsonl --model first-smollm2 [--rounds 3] [--words 60] [--qrels QRELS] [--reload]
        --system rankllm,dtype=float32 --system backend=vllm,dtype=float32 --system dtype=bfloat16,threads=2 [--system …]

A system is `rankllm` with its dtype, or settings of `Setup.of` as `python -m benchmarks.compare` takes them. Each has a process of its own,
which loads before the first round and ranks the first request to warm up; with --reload, a new one for each round, where memory does not
hold all. The other requests are shared out over the rounds: an engine that keeps prefixes would find again what it has read. They are
made by `python -m benchmarks.peers.requests`.

Says each turn on standard error. Prints one JSON line: per system the seconds to load, the median seconds a query, its queries a second
as a multiple of the first system's (median, least and most over rounds), windows and prompt tokens a query, Kendall's tau against the first
system's order. With `--qrels`, nDCG@10 of its order too, and what an oracle's scores give by its schedule.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import stats

from benchmarks.arguments import parser_of
from benchmarks.compare import setup_of
from benchmarks.peers.child import Child, Round
from benchmarks.peers.folders import prepared
from benchmarks.peers.rankllm import STRIDE, WINDOW
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import per_query
from firstrank.reranker.models.arithmetic import described, units
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.rankllm import read_requests
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.scorers.backends import Oracle
from firstrank.reranker.types import Request

MEASURE = "nDCG@10"
BOTH_CORES = {
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "HF_HUB_OFFLINE": "1",
    "OPENAI_API_KEY": "none",
}
"""as Firstrank starts vLLM on a CPU, for RankLLM too; it wants a key, which it does not use"""


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("peers.side_by_side", __doc__)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--model", default="first-smollm2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=60, help="of a passage that are in a prompt")
    parser.add_argument("--qrels")
    parser.add_argument("--reload", action="store_true", help="one system in memory at a time")
    parser.add_argument("--system", action="append", required=True, help="rankllm,dtype=… or NAME=VALUE,…")
    options = parser.parse_args(words)
    requests = [one.request for one in read_requests(options.requests)]
    with tempfile.TemporaryDirectory() as scratch:
        folders = prepared(options.model, Path(scratch) / "weights", options.words, WINDOW, STRIDE)
        stage = Stage(folders, options.requests, options.words, requests, options.reload)
        with stage:
            rounds = [{system: stage.turn(system, *part) for system in options.system} for part in parts(len(requests), options.rounds)]
        found = {system: {"load_s": round(stage.starts[system], 1)} | figures(system, rounds) for system in options.system}
        if options.qrels:
            qrels = read_qrels(options.qrels)
            for system, of in found.items():
                orders = {qid: order for one in rounds for qid, order in one[system].orders.items()}
                of |= judged(system, orders, requests, qrels, folders)
    facts = {
        "queries": sum(len(one[options.system[0]].orders) for one in rounds),
        "candidates": len(requests[0].passages),
        "rounds": options.rounds,
        "words": options.words,
    }
    machine = {"processor": platform.processor() or platform.machine(), "units": described(units())}
    print(json.dumps(facts | machine | {"systems": found}))


class Stage:
    """Where systems have their turns: a process for each, kept from one round to the next unless `reload` says otherwise."""

    def __init__(self, folders: Path, file: Path, words: int, requests: Sequence[Request], reload: bool) -> None:
        self._folders, self._file, self._words, self._requests, self._reload = folders, file, words, requests, reload
        self._children: dict[str, Child] = {}
        self.starts: dict[str, float] = {}
        """system -> the fewest seconds that it took to load"""

    def turn(self, system: str, start: int, stop: int) -> Round:
        child = self._children.get(system) or self._started(system)
        found = child.rank(start, stop)
        print(f"{system}: {found.seconds / (stop - start):.2f} s a query", file=sys.stderr, flush=True)
        if self._reload:
            self._children.pop(system).close()
        return found

    def _started(self, system: str) -> Child:
        name, _, rest = system.partition(",")
        log = Path(tempfile.gettempdir()) / f"side-by-side-{len(self.starts)}.log"
        if name == "rankllm":
            folder = self._folders / (rest.removeprefix("dtype=") or "float32")
            sizes = ["--candidates", str(len(self._requests[0].passages)), "--words", str(self._words)]
            child = Child("benchmarks.peers.rankllm", [str(folder), str(self._file), *sizes], log, BOTH_CORES)
        else:
            child = Child("benchmarks.peers.ours", [str(self._file), settings_of(system, self._folders)], log, {})
        self.starts[system] = min(child.start, self.starts.get(system, child.start))
        self._children[system] = child
        child.rank(0, 1)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for child in self._children.values():
            child.close()


def settings_of(system: str, folders: Path) -> str:
    """With the model's folder, unless it names a model of its own."""
    return system if system.startswith("model=") else f"model={folders / 'float32'},{system}"


def parts(requests: int, rounds: int) -> list[tuple[int, int]]:
    """Where the requests of each round begin and end; the first request is for warming up. Raises InputError for too few."""
    each = (requests - 1) // rounds
    if each < 1:
        raise InputError(f"{requests} requests for {rounds} rounds: give one to warm up, and at least one per round")
    return [(1 + each * place, 1 + each * (place + 1)) for place in range(rounds)]


def figures(system: str, rounds: Sequence[Mapping[str, Round]]) -> dict[str, Any]:
    first = next(iter(rounds[0]))
    of = [one[system] for one in rounds]
    queries = sum(len(one.orders) for one in of)
    ratios = sorted(one[first].seconds / one[system].seconds for one in rounds)
    return {
        "seconds": round(float(np.median([one.seconds / len(one.orders) for one in of])), 3),
        "times_as_fast": round(float(np.median(ratios)), 3),
        "least_and_most": [round(ratios[0], 3), round(ratios[-1], 3)],
        "windows": round(sum(one.windows for one in of) / queries, 2),
        "prompt_tokens": round(sum(one.prompt_tokens for one in of) / queries),
        "tau": round(
            float(np.mean([tau(one[system].orders[qid], order) for one in rounds for qid, order in one[first].orders.items()])), 3
        ),
    }


def judged(system: str, orders: Mapping[str, Sequence[str]], requests: Sequence[Request], qrels: Qrels, folders: Path) -> dict[str, float]:
    if system.startswith("rankllm"):
        schedule = {"strategy": "sliding", "window": WINDOW, "stride": STRIDE}
        setup = setup_of(",".join(f"{name}={value}" for name, value in schedule.items()))
    else:
        setup = setup_of(settings_of(system, folders))
    oracle = replace(setup, backend=Oracle(qrels), schedule=setup.completed())
    with Reranker(oracle) as reranker:
        best = {one.qid: [result.docid for result in one] for one in reranker.rank_many(requests) if one.qid in orders}
    return {MEASURE: effectiveness(orders, qrels), f"{MEASURE} of an oracle": effectiveness(best, qrels)}


def effectiveness(orders: Mapping[str, Sequence[str]], qrels: Qrels) -> float:
    run = Run(Ranked(qid, tuple(order), -np.arange(len(order), dtype=np.float32)) for qid, order in orders.items())
    return round(float(np.mean([*per_query(run, {qid: qrels[qid] for qid in orders}, [MEASURE])[MEASURE].values()])), 4)


def tau(one: Sequence[str], other: Sequence[str]) -> float:
    place = {docid: rank for rank, docid in enumerate(other)}
    return float(stats.kendalltau(range(len(one)), [place[docid] for docid in one]).statistic)


if __name__ == "__main__":
    sys.exit(main())
