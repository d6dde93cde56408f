"""RankLLM's FIRST path on vLLM, as a system in a process of its own (`benchmarks.peers.child`).

    python -m benchmarks.peers.rankllm MODEL_DIR REQUESTS.jsonl --candidates 40 --words 60

Its settings are its own: vLLM compiles, prefixes are shared, all queries are in flight at once. It leaves the type of numbers to vLLM,
which takes bf16 for fp32 weights on a processor that has units for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.peers.child import Rank, Round, serve

TEMPLATE = "rerank/prompt_templates/rank_zephyr_alpha_template.yaml"
WINDOW, STRIDE = 20, 10


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("peers.rankllm", __doc__)
    parser.add_argument("model")
    parser.add_argument("requests", type=Path)
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--words", type=int, default=60, help="of a passage")
    options = parser.parse_args(words)
    serve(lambda: loaded(options.model, options.requests, options.candidates, options.words))


def loaded(model: str, requests: Path, candidates: int, words: int) -> Rank:
    import rank_llm
    from rank_llm.data import Candidate, Query, Request
    from rank_llm.rerank.listwise.rank_listwise_os_llm import RankListwiseOSLLM
    from rank_llm.rerank.reranker import Reranker

    rows = [json.loads(line) for line in requests.read_text(encoding="utf-8").splitlines()]
    asked = [Request(Query(**row["query"]), [Candidate(**one) for one in row["candidates"]]) for row in rows]
    agent = RankListwiseOSLLM(
        model=model,
        context_size=4096,
        window_size=WINDOW,
        stride=STRIDE,
        use_logits=True,
        use_alpha=True,
        prompt_template_path=str(Path(rank_llm.__file__).parent / TEMPLATE),
        max_passage_words=words,
    )
    reranker = Reranker(agent)
    asyncio.run = asyncio.Runner().run  # each of its calls would start a loop of its own, and vLLM does not outlive its first

    def rank(start: int, stop: int) -> Round:
        started = time.perf_counter()
        results: list[Any] = reranker.rerank_batch(
            asked[start:stop], rank_start=0, rank_end=candidates, top_k_retrieve=candidates, populate_invocations_history=True
        )
        seconds = time.perf_counter() - started
        calls = [call for result in results for call in result.invocations_history]
        orders = {result.query.qid: [one.docid for one in result.candidates] for result in results}
        return Round(seconds, len(calls), sum(call.input_token_count for call in calls), orders)

    return rank


if __name__ == "__main__":
    sys.exit(main())
