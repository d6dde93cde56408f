"""What the adapters share: the Reranker behind them."""

from __future__ import annotations

from typing import Any

from firstrank.reranker.reranker import Reranker


def reranker_of(model: str | Reranker, options: dict[str, Any]) -> Reranker:
    """The Reranker given, or a new one for a model's name; `options` are the Reranker's."""
    return model if isinstance(model, Reranker) else Reranker(model, **options)
