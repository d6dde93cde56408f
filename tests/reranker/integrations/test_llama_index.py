"""The adapter inside the real LlamaIndex (make test-integrations)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from tests.reranker.integrations.candidates import QUERY, TEXTS

pytestmark = pytest.mark.integrations


def test_a_query_engine(reranker: Reranker, order: list[int], scores: list[float]) -> None:
    from llama_index.core import Settings, SummaryIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.schema import TextNode

    from firstrank.reranker.integrations.llama_index import FirstRanker

    Settings.llm = MockLLM()
    index = SummaryIndex([TextNode(text=text, id_=f"d{i}") for i, text in enumerate(TEXTS)])
    ranker = FirstRanker(reranker, top_n=3)
    engine = index.as_query_engine(node_postprocessors=[ranker], response_mode="no_text")
    for response in (engine.query(QUERY), asyncio.run(engine.aquery(QUERY))):
        found = [(node.node.node_id, node.score) for node in response.source_nodes]
        assert found == [(f"d{i}", score) for i, score in zip(order[:3], scores, strict=False)]


def test_metadata_is_read_as_embeddings_read_it(reranker: Reranker) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode

    from firstrank.reranker.integrations.llama_index import FirstRanker

    def nodes(*hidden: str) -> list[NodeWithScore]:
        fields = {"metadata": {"title": "Emma"}, "excluded_embed_metadata_keys": list(hidden)}
        return [NodeWithScore(node=TextNode(text=text, id_=str(i), **fields), score=0.0) for i, text in enumerate(TEXTS)]

    def ranked(given: Sequence[NodeWithScore]) -> list[float | None]:
        return [node.score for node in FirstRanker(reranker).postprocess_nodes(list(given), query_str=QUERY)]

    assert ranked(nodes("title")) == [result.score for result in reranker.rank(QUERY, TEXTS)]
    assert ranked(nodes()) == [result.score for result in reranker.rank(QUERY, [f"title: Emma\n\n{text}".strip() for text in TEXTS])]


def test_bad_input(reranker: Reranker) -> None:
    from firstrank.reranker.integrations.llama_index import FirstRanker

    assert FirstRanker(reranker).postprocess_nodes([], query_str=QUERY) == []
    with pytest.raises(InputError, match="needs the query"):
        FirstRanker(reranker).postprocess_nodes([])
