"""What the adapters share: the Reranker behind them."""

from __future__ import annotations

from typing import Any

from firstrank.reranker.reranker import Reranker
from firstrank.reranker.types import Ranking, Result


def reranker_of(model: str | Reranker, options: dict[str, Any]) -> Reranker:
    """The Reranker given, or a new one for a model's name; `options` are the Reranker's."""
    return model if isinstance(model, Reranker) else Reranker(model, **options)


def kept(ranking: Ranking, top: int | None, threshold: float | None) -> tuple[Result, ...]:
    """The best `top` results with at least that probability. Raises InputError for a threshold where the model is not calibrated."""
    return (ranking if threshold is None else ranking.at_least(threshold)).results[:top]


def shown(result: Result) -> float:
    """What a result's score is: its probability, where the model is calibrated."""
    return result.score if result.probability is None else result.probability
