"""A ranker component for Haystack pipelines, in process.

>>> pipeline.add_component("ranker", FirstRanker("default", top_k=5))
>>> pipeline.connect("retriever.documents", "ranker.documents")
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from firstrank.reranker.errors import InputError
from firstrank.reranker.integrations.shared import kept, shown
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.types import Ranking, check_probability


@component
class FirstRanker:
    """Puts documents in a new order and keeps the best `top_k`. `options` are the Reranker's (`backend`, `strategy`, `device` …).

    The model is loaded by `warm_up`, or when the component first runs; a saved pipeline holds its name (Haystack 3 loads it
    with `allowed_modules=["firstrank.reranker.integrations.haystack"]`). Of documents with one id the first is kept. Scores are in (0, 1);
    of calibrated models they are probabilities, and with `score_threshold` documents of a lower one are left out.
    """

    def __init__(
        self, model: str = "default", top_k: int | None = None, options: dict[str, Any] | None = None, score_threshold: float | None = None
    ) -> None:
        self.model, self.top_k, self.options, self.score_threshold = model, _checked(top_k), options or {}, score_threshold
        if score_threshold is not None:
            check_probability(score_threshold)
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Loads the model; idempotent."""
        self._loaded()

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The best documents, best first; `top_k` in place of the component's own."""
        unique = _unique(documents)
        return self._kept(unique, self._loaded().rank(query, _texts(unique)), top_k)

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """`run`, awaited; concurrent pipelines share batches."""
        unique = _unique(documents)
        return self._kept(unique, await self._loaded().rank_async(query, _texts(unique)), top_k)

    def to_dict(self) -> dict[str, Any]:
        return default_to_dict(self, model=self.model, top_k=self.top_k, options=self.options, score_threshold=self.score_threshold)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FirstRanker:
        restored: FirstRanker = default_from_dict(cls, data)
        return restored

    def _loaded(self) -> Reranker:
        if self._reranker is None:
            self._reranker = Reranker(self.model, **self.options)
        return self._reranker

    def _kept(self, documents: list[Document], ranking: Ranking, top_k: int | None) -> dict[str, list[Document]]:
        best = kept(ranking, self.top_k if top_k is None else _checked(top_k), self.score_threshold)
        return {"documents": [replace(documents[result.index], score=shown(result)) for result in best]}


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k={top_k}: must be at least 1")
    return top_k


def _unique(documents: list[Document]) -> list[Document]:
    first = {document.id: document for document in reversed(documents)}
    return [first[docid] for docid in dict.fromkeys(document.id for document in documents)]


def _texts(documents: list[Document]) -> list[str]:
    return [document.content or "" for document in documents]
