"""The adapters inside the real frameworks (make test-integrations)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reranker.errors import InputError
from reranker.reranker import Reranker

pytestmark = pytest.mark.integrations

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # rerankers imports it, and it would ask the network

QUERY = "who wrote Emma?"
TEXTS = [
    "Bees make honey.",
    "Jane Austen wrote Emma.",
    "Persuasion appeared in 1817.",
    "",
    "The Thames flows through London.",
    "Emma is a novel of 1815.",
    "Honey keeps for years.",
]


@pytest.fixture(scope="module")
def reranker(tiny_model: Path) -> Iterator[Reranker]:
    with Reranker(str(tiny_model), threads=1, window=4, stride=2) as reranker:
        yield reranker


@pytest.fixture(scope="module")
def order(reranker: Reranker) -> list[int]:
    """The places of TEXTS, best first, as the Reranker alone ranks them."""
    order = [result.index for result in reranker.rank(QUERY, TEXTS)]
    assert order != sorted(order)
    return order


@pytest.fixture(scope="module")
def scores(reranker: Reranker) -> list[float]:
    return [result.score for result in reranker.rank(QUERY, TEXTS)]


class TestRerankers:
    def test_rank_gives_ranked_results(self, reranker: Reranker, order: list[int], scores: list[float]) -> None:
        from rerankers.results import RankedResults

        from reranker.integrations.rerankers import FirstRanker

        ranked = FirstRanker(reranker).rank(QUERY, TEXTS, doc_ids=[f"d{i}" for i in range(7)], metadata=[{"place": i} for i in range(7)])
        assert isinstance(ranked, RankedResults)
        assert [result.doc_id for result in ranked] == [f"d{i}" for i in order]
        assert [(result.rank, result.score) for result in ranked] == list(zip(range(1, 8), scores, strict=True))
        assert [result.place for result in ranked.top_k(2)] == order[:2]
        assert ranked.get_score_by_docid(f"d{order[0]}") == scores[0]

    def test_documents_ids_and_awaiting(self, reranker: Reranker, order: list[int]) -> None:
        from rerankers.documents import Document

        from reranker.integrations.rerankers import FirstRanker

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


class TestLangChain:
    @pytest.fixture
    def retriever(self, reranker: Reranker) -> Any:
        from langchain_classic.retrievers import ContextualCompressionRetriever
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        from reranker.integrations.langchain import FirstRanker

        class Everything(BaseRetriever):
            def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
                return [Document(page_content=text, metadata={"place": i}, id=f"d{i}") for i, text in enumerate(TEXTS)]

        return ContextualCompressionRetriever(base_compressor=FirstRanker(reranker, top_n=3), base_retriever=Everything())

    def test_a_contextual_compression_retriever(self, retriever: Any, order: list[int], scores: list[float]) -> None:
        documents = retriever.invoke(QUERY)
        assert [document.metadata for document in documents] == [
            {"place": place, "relevance_score": score} for place, score in zip(order[:3], scores, strict=False)
        ]
        assert [document.id for document in documents] == [f"d{i}" for i in order[:3]]

    def test_batches_and_awaiting(self, retriever: Any, order: list[int]) -> None:
        for found in [*retriever.batch([QUERY] * 4), *asyncio.run(retriever.abatch([QUERY] * 4)), asyncio.run(retriever.ainvoke(QUERY))]:
            assert [document.metadata["place"] for document in found] == order[:3]

    def test_bad_input(self, reranker: Reranker) -> None:
        from pydantic import ValidationError

        from reranker.integrations.langchain import FirstRanker

        assert FirstRanker(reranker).compress_documents([], QUERY) == []
        with pytest.raises(ValidationError, match="top_n"):
            FirstRanker(reranker, top_n=0)


class TestLlamaIndex:
    def test_a_query_engine(self, reranker: Reranker, order: list[int], scores: list[float]) -> None:
        from llama_index.core import Settings, SummaryIndex
        from llama_index.core.llms import MockLLM
        from llama_index.core.schema import TextNode

        from reranker.integrations.llama_index import FirstRanker

        Settings.llm = MockLLM()
        index = SummaryIndex([TextNode(text=text, id_=f"d{i}") for i, text in enumerate(TEXTS)])
        ranker = FirstRanker(reranker, top_n=3)
        engine = index.as_query_engine(node_postprocessors=[ranker], response_mode="no_text")
        for response in (engine.query(QUERY), asyncio.run(engine.aquery(QUERY))):
            found = [(node.node.node_id, node.score) for node in response.source_nodes]
            assert found == [(f"d{i}", score) for i, score in zip(order[:3], scores, strict=False)]

    def test_metadata_is_read_as_embeddings_read_it(self, reranker: Reranker) -> None:
        from llama_index.core.schema import NodeWithScore, TextNode

        from reranker.integrations.llama_index import FirstRanker

        def nodes(*hidden: str) -> list[NodeWithScore]:
            fields = {"metadata": {"title": "Emma"}, "excluded_embed_metadata_keys": list(hidden)}
            return [NodeWithScore(node=TextNode(text=text, id_=str(i), **fields), score=0.0) for i, text in enumerate(TEXTS)]

        def ranked(given: Sequence[NodeWithScore]) -> list[float | None]:
            return [node.score for node in FirstRanker(reranker).postprocess_nodes(list(given), query_str=QUERY)]

        assert ranked(nodes("title")) == [result.score for result in reranker.rank(QUERY, TEXTS)]
        assert ranked(nodes()) == [result.score for result in reranker.rank(QUERY, [f"title: Emma\n\n{text}".strip() for text in TEXTS])]

    def test_bad_input(self, reranker: Reranker) -> None:
        from reranker.integrations.llama_index import FirstRanker

        assert FirstRanker(reranker).postprocess_nodes([], query_str=QUERY) == []
        with pytest.raises(InputError, match="needs the query"):
            FirstRanker(reranker).postprocess_nodes([])


class TestHaystack:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"threads": 1, "window": 4, "stride": 2}

    @pytest.fixture
    def documents(self) -> list[Any]:
        from haystack import Document

        return [Document(id=f"d{i}", content=text) for i, text in enumerate(TEXTS)]

    def test_a_pipeline_also_serialised_and_loaded_again(
        self, tiny_model: Path, options: dict[str, Any], documents: list[Any], reranker: Reranker
    ) -> None:
        from haystack import Pipeline
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore
        from haystack.document_stores.types import DuplicatePolicy

        from reranker.integrations.haystack import FirstRanker

        def run(pipeline: Any) -> list[tuple[str, float]]:
            pipeline.get_component("retriever").document_store.write_documents(documents, DuplicatePolicy.SKIP)
            found = pipeline.run({"retriever": {"query": "Emma honey novel"}, "ranker": {"query": QUERY}})
            return [(document.id, document.score) for document in found["ranker"]["documents"]]

        pipeline = Pipeline()
        pipeline.add_component("retriever", InMemoryBM25Retriever(InMemoryDocumentStore(), top_k=4))
        pipeline.add_component("ranker", FirstRanker(str(tiny_model), top_k=3, options=options))
        pipeline.connect("retriever.documents", "ranker.documents")
        text = pipeline.dumps()
        assert "reranker.integrations.haystack.FirstRanker" in text
        first = run(pipeline)
        candidates = pipeline.run({"retriever": {"query": "Emma honey novel"}, "ranker": {"query": QUERY, "top_k": 9}}, {"retriever"})
        texts = {document.id: document.content for document in candidates["retriever"]["documents"]}
        expected = reranker.rank(QUERY, list(texts.values()), list(texts)).top_k(3)
        assert first == [(result.docid, result.score) for result in expected]
        assert run(Pipeline.loads(text, allowed_modules=["reranker.integrations.haystack"])) == first

    def test_awaiting_and_duplicates(self, tiny_model: Path, options: dict[str, Any], documents: list[Any], order: list[int]) -> None:
        from reranker.integrations.haystack import FirstRanker

        ranker = FirstRanker(str(tiny_model), options=options)
        ranker.warm_up()

        async def many() -> Any:
            return await asyncio.gather(*(ranker.run_async(query=QUERY, documents=documents + documents[:3]) for _ in range(3)))

        for found in asyncio.run(many()):
            assert [document.id for document in found["documents"]] == [f"d{i}" for i in order]
        assert documents[0].score is None

    def test_bad_input(self, tiny_model: Path) -> None:
        from reranker.integrations.haystack import FirstRanker

        assert FirstRanker(str(tiny_model)).run(query=QUERY, documents=[]) == {"documents": []}
        with pytest.raises(InputError, match="top_k=0"):
            FirstRanker(top_k=0)


class TestPyTerrier:
    @pytest.fixture(scope="class")
    def bm25(self, data: Path) -> Any:
        """PyTerrier's own index is a jar that it downloads: BM25 in memory, as a transformer."""
        import pandas as pd
        import pyterrier as pt

        from reranker.retrievers.bm25 import BM25
        from reranker.runs import Query
        from reranker.texts import read_passages

        passages = {passage.docid: passage for passage in read_passages(data / "cranfield")}
        index = BM25(passages.values())

        class InMemory(pt.Transformer):
            def transform(self, topics: Any) -> Any:
                pt.validate.query_frame(topics, extra_columns=["query"])
                columns = ["qid", "query", "docno", "text", "score", "rank"]
                found = index.search([Query(row.qid, row.query) for row in topics.itertuples()], 12)
                rows = [
                    (row.qid, row.query, docid, passages[docid].text[:300], score, rank)
                    for row, ranked in zip(topics.itertuples(), found, strict=True)
                    for rank, (docid, score) in enumerate(zip(ranked.docids, ranked.scores.tolist(), strict=True))
                ]
                return pd.DataFrame(rows, columns=columns)

        return InMemory()

    @pytest.fixture(scope="class")
    def topics(self, data: Path) -> Any:
        import pandas as pd

        from reranker.runs import read_queries

        return pd.DataFrame([(query.qid, query.text) for query in read_queries(data / "cranfield")][:6], columns=["qid", "query"])

    def test_an_experiment_with_its_time(self, bm25: Any, topics: Any, data: Path, reranker: Reranker) -> None:
        import pandas as pd
        import pyterrier as pt

        from reranker.integrations.pyterrier import FirstRanker
        from reranker.runs import read_qrels

        rows = [(qid, docid, grade) for qid, grades in read_qrels(data / "cranfield").items() for docid, grade in grades.items()]
        qrels = pd.DataFrame(rows, columns=["qid", "docno", "label"])
        pipeline = bm25 % 8 >> FirstRanker(reranker)
        table = pt.Experiment([bm25 % 8, pipeline], topics, qrels, ["ndcg_cut_10", "recall_10", "mrt"], names=["bm25", "first"])
        assert table["recall_10"].nunique() == 1  # the same candidates …
        assert table["ndcg_cut_10"].nunique() == 2  # … in another order
        assert (table["mrt"] > 0).all()
        assert table["mrt"][1] > table["mrt"][0]

    def test_scores_and_ranks_are_those_of_the_reranker(self, bm25: Any, topics: Any, reranker: Reranker) -> None:
        from reranker.integrations.pyterrier import FirstRanker

        first = bm25(topics)
        shuffled = first.sample(frac=1, random_state=0)
        for given in (first, shuffled, shuffled.drop(columns="rank")):
            found = FirstRanker(reranker)(given)
            assert set(found["qid"]) == set(topics["qid"])
            for qid, rows in found.groupby("qid"):
                candidates = first[first["qid"] == qid]
                expected = reranker.rank(candidates["query"].iloc[0], list(candidates["text"]), list(candidates["docno"]), qid=qid)
                assert list(rows["docno"]) == [result.docid for result in expected]
                assert list(rows["score"]) == [result.raw_score for result in expected]
                assert list(rows["rank"]) == list(range(len(rows)))
                assert (np.diff(rows["score"].to_numpy(np.float32)) < 0).all()

    def test_titles_are_read_and_absent_texts_are_empty(self, reranker: Reranker) -> None:
        import pandas as pd

        from reranker.integrations.pyterrier import FirstRanker
        from reranker.types import Passage

        rows = pd.DataFrame({"qid": "1", "query": QUERY, "docno": list("abc"), "text": ["x", None, "z"], "title": ["T", "U", float("nan")]})
        expected = reranker.rank(QUERY, [Passage("a", "x", "T"), Passage("b", "", "U"), Passage("c", "z")], qid="1")
        assert list(FirstRanker(reranker)(rows)["score"]) == [result.raw_score for result in expected]

    def test_bad_input(self, bm25: Any, topics: Any, reranker: Reranker) -> None:
        import pandas as pd
        import pyterrier as pt

        from reranker.integrations.pyterrier import FirstRanker

        ranker = FirstRanker(reranker)
        first = bm25(topics)
        with pytest.raises(pt.validate.InputValidationError, match="text"):
            ranker(first.drop(columns="text"))
        with pytest.raises(InputError, match="two documents have the id"):
            ranker(pd.concat([first, first[:1]]))
        empty = ranker(first[:0])
        assert empty.empty
        assert {"qid", "query", "docno", "text", "score", "rank"} <= set(empty.columns)
