"""The adapter inside the real LangChain (make test-integrations)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from firstrank.reranker.reranker import Reranker
from tests.reranker.integrations.candidates import QUERY, TEXTS

pytestmark = pytest.mark.integrations


@pytest.fixture
def retriever(reranker: Reranker) -> Any:
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    from firstrank.reranker.integrations.langchain import FirstRanker

    class Everything(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(page_content=text, metadata={"place": i}, id=f"d{i}") for i, text in enumerate(TEXTS)]

    return ContextualCompressionRetriever(base_compressor=FirstRanker(reranker, top_n=3), base_retriever=Everything())


def test_a_contextual_compression_retriever(retriever: Any, order: list[int], scores: list[float]) -> None:
    documents = retriever.invoke(QUERY)
    assert [document.metadata for document in documents] == [
        {"place": place, "relevance_score": score} for place, score in zip(order[:3], scores, strict=False)
    ]
    assert [document.id for document in documents] == [f"d{i}" for i in order[:3]]


def test_batches_and_awaiting(retriever: Any, order: list[int]) -> None:
    for found in [*retriever.batch([QUERY] * 4), *asyncio.run(retriever.abatch([QUERY] * 4)), asyncio.run(retriever.ainvoke(QUERY))]:
        assert [document.metadata["place"] for document in found] == order[:3]


def test_bad_input(reranker: Reranker) -> None:
    from pydantic import ValidationError

    from firstrank.reranker.integrations.langchain import FirstRanker

    assert FirstRanker(reranker).compress_documents([], QUERY) == []
    with pytest.raises(ValidationError, match="top_n"):
        FirstRanker(reranker, top_n=0)
