"""What the adapters share: the Reranker behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from reranker.reranker import Reranker
from reranker.types import Ranking, Request


def reranker_of(model: str | Reranker, options: dict[str, Any]) -> Reranker:
    """The Reranker given, or a new one for a model's name; `options` are the Reranker's."""
    return model if isinstance(model, Reranker) else Reranker(model, **options)


async def rank_many_async(reranker: Reranker, requests: Iterable[Request]) -> Sequence[Ranking]:
    """All rankings, in the order of `requests`; their windows share batches. The first failure is raised."""
    ranking = (reranker.rank_async(request.query, request.passages, qid=request.qid) for request in requests)
    return await asyncio.gather(*ranking)
