"""Firstrank: listwise LLM reranking from the first token's logits.

>>> from reranker import Reranker
>>> Reranker("default").rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])[0].docid
'1'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reranker.errors import (
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
from reranker.types import Failure, Outcome, Passage, Ranking, Request, Result, Scores, Strategy, Trace, View

if TYPE_CHECKING:
    from reranker.executor import Executor
    from reranker.reranker import Reranker
    from reranker.scorers import open_scorer
    from reranker.strategies import parse_strategy

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
    "Executor": "reranker.executor",
    "Reranker": "reranker.reranker",
    "open_scorer": "reranker.scorers",
    "parse_strategy": "reranker.strategies",
}


def __getattr__(name: str) -> Any:
    """What needs numpy or more is imported when it is first asked for."""
    if name in _HEAVY:
        return getattr(import_module(_HEAVY[name]), name)
    raise AttributeError(f"module 'reranker' has no attribute {name!r}")
