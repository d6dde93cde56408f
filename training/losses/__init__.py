"""Ranking losses by name. Each is a pure function in a file of its own: (scores, targets, mask), all [lists, passages] -> [lists].

Scores are label logits, targets grades (higher is better, equal ones tie), the mask is false where a list is padded. Losses are
computed in fp32 at least; a list in which nothing is better than anything else costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor

from firstrank.reranker.errors import InputError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

NAMES = (
    "softmax",
    "ranknet",
    "weighted_ranknet",
    "lambdarank",
    "listnet",
    "listmle",
    "plistmle",
    "approx_ndcg",
    "neuralsort",
    "sorting_network",
    "wasserstein",
    "robust_softmax",
    "adr_mse",
)


def loss_of(name: str, options: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name with its options (a temperature, say). Raises InputError for an unknown name or option."""
    function = _function(name)
    if unknown := sorted(set(options or {}) - set(legal := options_of(name))):
        raise InputError(f"ranking loss {name!r} has no option {', '.join(unknown)}; it has {', '.join(legal) or 'none'}")
    return partial(function, **options) if options else function


def options_of(name: str) -> list[str]:
    """The names of a loss's options."""
    found = inspect.signature(_function(name)).parameters.values()
    return [parameter.name for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]


def _function(name: str) -> Any:
    if name not in NAMES:
        raise InputError(f"ranking loss {name!r}: unknown; there are {', '.join(NAMES)}")
    return getattr(import_module(f"firstrank.training.losses.{name}"), name)
