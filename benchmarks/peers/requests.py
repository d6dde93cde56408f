"""The first queries of a run, in RankLLM's form, for `benchmarks.peers.side_by_side`.

    python -m benchmarks.peers.requests REQUESTS.jsonl --collection DL19 --run bm25.trec.gz --queries 5 --candidates 40

RankLLM puts all that a model reads through ftfy, which makes curly quotes straight, for example. So it is done here, once and for all
systems: what each of them then reads is the same to the byte.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.arguments import add_candidates, parser_of
from benchmarks.prior import read_requests
from firstrank.reranker.runs.rankllm import ScoredRequest, write_requests
from firstrank.reranker.types import Request


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("peers.requests", __doc__)
    parser.add_argument("output", type=Path)
    add_candidates(parser)
    options = parser.parse_args(words)
    requests, _ = read_requests(options.collection, options.split, options.run, options.queries, options.candidates)
    write_requests(options.output, (ScoredRequest(mended(one), -np.arange(len(one.passages), dtype=np.float32)) for one in requests))


def mended(request: Request) -> Request:
    from ftfy import fix_text

    passages = tuple(replace(one, title=fix_text(one.title), text=fix_text(one.text)) for one in request.passages)
    return replace(request, query=fix_text(request.query), passages=passages)


if __name__ == "__main__":
    sys.exit(main())
