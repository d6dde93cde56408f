"""The adapter inside the real Haystack (make test-integrations)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from tests.reranker.integrations.candidates import QUERY, TEXTS

pytestmark = pytest.mark.integrations

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")


@pytest.fixture
def options() -> dict[str, Any]:
    return {"threads": 1, "window": 4, "stride": 2}


@pytest.fixture
def documents() -> list[Any]:
    from haystack import Document

    return [Document(id=f"d{i}", content=text) for i, text in enumerate(TEXTS)]


def test_a_pipeline_also_serialised_and_loaded_again(
    tiny_model: Path, options: dict[str, Any], documents: list[Any], reranker: Reranker
) -> None:
    from haystack import Pipeline
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.document_stores.types import DuplicatePolicy

    from firstrank.reranker.integrations.haystack import FirstRanker

    def run(pipeline: Any) -> list[tuple[str, float]]:
        pipeline.get_component("retriever").document_store.write_documents(documents, DuplicatePolicy.SKIP)
        found = pipeline.run({"retriever": {"query": "Emma honey novel"}, "ranker": {"query": QUERY}})
        return [(document.id, document.score) for document in found["ranker"]["documents"]]

    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(InMemoryDocumentStore(), top_k=4))
    pipeline.add_component("ranker", FirstRanker(str(tiny_model), top_k=3, options=options))
    pipeline.connect("retriever.documents", "ranker.documents")
    text = pipeline.dumps()
    assert "firstrank.reranker.integrations.haystack.FirstRanker" in text
    first = run(pipeline)
    candidates = pipeline.run({"retriever": {"query": "Emma honey novel"}, "ranker": {"query": QUERY, "top_k": 9}}, {"retriever"})
    texts = {document.id: document.content for document in candidates["retriever"]["documents"]}
    expected = reranker.rank(QUERY, list(texts.values()), list(texts)).top_k(3)
    assert first == [(result.docid, result.score) for result in expected]
    assert run(Pipeline.loads(text, allowed_modules=["firstrank.reranker.integrations.haystack"])) == first


def test_awaiting_and_duplicates(tiny_model: Path, options: dict[str, Any], documents: list[Any], order: list[int]) -> None:
    from firstrank.reranker.integrations.haystack import FirstRanker

    ranker = FirstRanker(str(tiny_model), options=options)
    ranker.warm_up()

    async def many() -> Any:
        return await asyncio.gather(*(ranker.run_async(query=QUERY, documents=documents + documents[:3]) for _ in range(3)))

    for found in asyncio.run(many()):
        assert [document.id for document in found["documents"]] == [f"d{i}" for i in order]
    assert documents[0].score is None


def test_bad_input(tiny_model: Path) -> None:
    from firstrank.reranker.integrations.haystack import FirstRanker

    assert FirstRanker(str(tiny_model)).run(query=QUERY, documents=[]) == {"documents": []}
    with pytest.raises(InputError, match="top_k=0"):
        FirstRanker(top_k=0)
