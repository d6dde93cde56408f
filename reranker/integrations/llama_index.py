"""A node postprocessor for LlamaIndex, in process.

>>> engine = index.as_query_engine(similarity_top_k=100, node_postprocessors=[FirstRanker("default", top_n=5)])
"""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from firstrank.reranker.errors import InputError
from firstrank.reranker.integrations.shared import kept, reranker_of, shown
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.types import Ranking

_dispatcher = get_dispatcher(__name__)


class FirstRanker(BaseNodePostprocessor):
    """Puts nodes in a new order and keeps the best `top_n`; `options` are the Reranker's. Scores are in (0, 1).

    Of calibrated models a score is the probability that a node is relevant; with `score_threshold`, nodes of a lower one are left out.

    A node is read as embeddings read it: its text, and the metadata that it does not hide from them.
    """

    model: str = Field(description="the model's name")
    top_n: int | None = Field(default=None, ge=1)
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    _reranker: Reranker = PrivateAttr()

    def __init__(
        self, model: str | Reranker = "default", *, top_n: int | None = None, score_threshold: float | None = None, **options: Any
    ) -> None:
        reranker = reranker_of(model, options)
        super().__init__(model=reranker.scorer.name, top_n=top_n, score_threshold=score_threshold)
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        return "FirstRanker"

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        query = self._started(nodes, query_bundle)
        return self._kept(nodes, self._reranker.rank(query, _texts(nodes)))

    async def _apostprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        query = self._started(nodes, query_bundle)
        return self._kept(nodes, await self._reranker.rank_async(query, _texts(nodes)))

    def _started(self, nodes: list[NodeWithScore], query: QueryBundle | None) -> str:
        if query is None:
            raise InputError("a reranker needs the query: call postprocess_nodes with query_str or query_bundle")
        top_n = len(nodes) if self.top_n is None else self.top_n
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=self.model))
        return query.query_str

    def _kept(self, nodes: list[NodeWithScore], ranking: Ranking) -> list[NodeWithScore]:
        best = kept(ranking, self.top_n, self.score_threshold)
        found = [NodeWithScore(node=nodes[result.index].node, score=shown(result)) for result in best]
        _dispatcher.event(ReRankEndEvent(nodes=found))
        return found


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
