"""The adapter inside the real rerankers (make test-integrations)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from tests.reranker.integrations.candidates import QUERY, TEXTS

pytestmark = pytest.mark.integrations

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it imports LiteLLM, which would ask the network


def test_rank_gives_ranked_results(reranker: Reranker, order: list[int], scores: list[float]) -> None:
    from rerankers.results import RankedResults

    from firstrank.reranker.integrations.rerankers import FirstRanker

    ranked = FirstRanker(reranker).rank(QUERY, TEXTS, doc_ids=[f"d{i}" for i in range(7)], metadata=[{"place": i} for i in range(7)])
    assert isinstance(ranked, RankedResults)
    assert [result.doc_id for result in ranked] == [f"d{i}" for i in order]
    assert [(result.rank, result.score) for result in ranked] == list(zip(range(1, 8), scores, strict=True))
    assert [result.place for result in ranked.top_k(2)] == order[:2]
    assert ranked.get_score_by_docid(f"d{order[0]}") == scores[0]


def test_documents_ids_and_awaiting(reranker: Reranker, order: list[int]) -> None:
    from rerankers.documents import Document

    from firstrank.reranker.integrations.rerankers import FirstRanker

    ranker = FirstRanker(reranker)

    async def many() -> Any:
        return await asyncio.gather(*(ranker.rank_async(QUERY, [Document(text, 7) for text in TEXTS]) for _ in range(3)))

    for ranked in asyncio.run(many()):
        assert [TEXTS.index(result.text) for result in ranked] == order
        assert {result.doc_id for result in ranked} == {7}
    assert ranker.rank(QUERY, []).results_count() == 0
    assert ranker.rank(QUERY, "alone")[0].doc_id == 0
    with pytest.raises(InputError, match="call rank with all"):
        ranker.score(QUERY, "alone")
