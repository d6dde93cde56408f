"""A document compressor for LangChain, in process.

>>> retriever = ContextualCompressionRetriever(base_compressor=FirstRanker("default", top_n=5), base_retriever=first_stage)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, PrivateAttr

from firstrank.reranker.integrations.shared import kept, reranker_of, shown
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.types import Ranking


class FirstRanker(BaseDocumentCompressor):
    """Puts documents in a new order and keeps the best `top_n`; `options` are the Reranker's.

    What comes back are copies whose metadata holds `relevance_score`: of calibrated models the probability that the document is
    relevant, else a number in (0, 1). With `score_threshold`, documents of a lower probability are left out. Calls from several
    threads or tasks (a retriever's `batch` and `abatch`) share batches.
    """

    top_n: int | None = Field(default=None, ge=1)
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    _reranker: Reranker = PrivateAttr()

    def __init__(
        self, model: str | Reranker = "default", *, top_n: int | None = None, score_threshold: float | None = None, **options: Any
    ) -> None:
        super().__init__(top_n=top_n, score_threshold=score_threshold)
        self._reranker = reranker_of(model, options)

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks = None) -> Sequence[Document]:
        return self._kept(documents, self._reranker.rank(query, _texts(documents)))

    async def acompress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks = None) -> Sequence[Document]:
        return self._kept(documents, await self._reranker.rank_async(query, _texts(documents)))

    def _kept(self, documents: Sequence[Document], ranking: Ranking) -> list[Document]:
        best = kept(ranking, self.top_n, self.score_threshold)
        return [_scored(documents[result.index], shown(result)) for result in best]


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": document.metadata | {"relevance_score": score}})
