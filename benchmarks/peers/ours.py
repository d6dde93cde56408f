"""Firstrank, as a system in a process of its own (`benchmarks.peers.child`).

python -m benchmarks.peers.ours REQUESTS.jsonl model=FOLDER,backend=vllm,engine_arg=enforce_eager=false
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import parser_of
from benchmarks.compare import setup_of
from benchmarks.peers.child import Rank, Round, serve
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.rankllm import read_requests


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("peers.ours", __doc__)
    parser.add_argument("requests", type=Path)
    parser.add_argument("system", help="NAME=VALUE,…, as `python -m benchmarks.compare --system` takes it")
    options = parser.parse_args(words)
    serve(lambda: loaded(options.requests, options.system))


def loaded(requests: Path, system: str) -> Rank:
    asked = [one.request for one in read_requests(requests)]
    reranker = Reranker(setup_of(system))

    def rank(start: int, stop: int) -> Round:
        started = time.perf_counter()
        rankings = list(reranker.rank_many(asked[start:stop]))
        seconds = time.perf_counter() - started
        orders = {one.qid: [result.docid for result in one] for one in rankings}
        return Round(seconds, sum(len(one.trace.windows) for one in rankings), sum(one.trace.prompt_tokens for one in rankings), orders)

    return rank


if __name__ == "__main__":
    sys.exit(main())
