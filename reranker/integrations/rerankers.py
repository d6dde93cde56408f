"""A ranker for the `rerankers` package: its `rank` and its RankedResults, in process.

>>> FirstRanker("default").rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."]).top_k(1)
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

from rerankers.documents import Document
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result
from rerankers.utils import prep_docs

from firstrank.reranker.errors import InputError
from firstrank.reranker.integrations.shared import reranker_of, shown
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.types import Passage, Ranking

Documents: TypeAlias = str | Document | list[str] | list[Document]


class FirstRanker(BaseRanker):
    """Ranks lists; `options` are the Reranker's. Document ids may repeat: documents are told apart by their places."""

    ranking_type = "listwise"

    def __init__(self, model: str | Reranker = "default", verbose: int = 0, **options: Any) -> None:
        self.reranker = reranker_of(model, options)

    def score(self, query: str, doc: str) -> NoReturn:
        raise InputError("a listwise model scores a passage among others: call rank with all of them")

    def rank(
        self, query: str, docs: Documents, doc_ids: list[str] | list[int] | None = None, metadata: list[dict[str, Any]] | None = None
    ) -> RankedResults:
        """All documents, best first; scores in (0, 1), ranks from 1."""
        documents = _prepared(docs, doc_ids, metadata)
        return _results(documents, self.reranker.rank(query, _passages(documents)))

    async def rank_async(
        self, query: str, docs: Documents, doc_ids: list[str] | list[int] | None = None, metadata: list[dict[str, Any]] | None = None
    ) -> RankedResults:
        """`rank`, awaited; concurrent calls share batches."""
        documents = _prepared(docs, doc_ids, metadata)
        return _results(documents, await self.reranker.rank_async(query, _passages(documents)))


def _prepared(docs: Documents, doc_ids: list[str] | list[int] | None, metadata: list[dict[str, Any]] | None) -> list[Document]:
    prepared: list[Document] = prep_docs(docs, doc_ids, metadata) if docs else []
    return prepared


def _passages(documents: list[Document]) -> list[Passage]:
    return [Passage(str(place), document.text) for place, document in enumerate(documents)]


def _results(documents: list[Document], ranking: Ranking) -> RankedResults:
    results = [Result(documents[result.index], shown(result), result.rank) for result in ranking]
    return RankedResults(results, ranking.query, has_scores=True)
