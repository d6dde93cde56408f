"""Firstrank: listwise LLM reranking from the first token's logits.

>>> from firstrank.reranker import Reranker
>>> Reranker("default").rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])[0].docid
'1'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import (
    DeadlineExceeded,
    EngineLost,
    FirstrankError,
    FormatError,
    InputError,
    MachineError,
    MissingExtra,
    ModelError,
    Overloaded,
    RequestFailed,
    ScorerError,
    TransientError,
)
from firstrank.reranker.types import Failure, Outcome, Passage, Ranking, Request, Result, Scores, Strategy, Trace, View

if TYPE_CHECKING:
    from firstrank.reranker.executor.executor import Executor
    from firstrank.reranker.reranker import Reranker
    from firstrank.reranker.scorers.backends import open_scorer
    from firstrank.reranker.strategies.register import parse_strategy

__all__ = [
    "DeadlineExceeded",
    "EngineLost",
    "Executor",
    "Failure",
    "FirstrankError",
    "FormatError",
    "InputError",
    "MachineError",
    "MissingExtra",
    "ModelError",
    "Outcome",
    "Overloaded",
    "Passage",
    "Ranking",
    "Request",
    "RequestFailed",
    "Reranker",
    "Result",
    "ScorerError",
    "Scores",
    "Strategy",
    "Trace",
    "TransientError",
    "View",
    "open_scorer",
    "parse_strategy",
]

_HEAVY = {
    "Executor": "firstrank.reranker.executor.executor",
    "Reranker": "firstrank.reranker.reranker",
    "open_scorer": "firstrank.reranker.scorers.backends",
    "parse_strategy": "firstrank.reranker.strategies.register",
}


def __getattr__(name: str) -> Any:
    """What needs numpy or more is imported when it is first asked for."""
    if name in _HEAVY:
        return getattr(import_module(_HEAVY[name]), name)
    raise AttributeError(f"module 'reranker' has no attribute {name!r}")
