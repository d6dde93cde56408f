"""Ranking losses by name. Each is a pure function in a file of its own: (scores, targets, mask), all [lists, passages] -> [lists].

Scores are label logits, targets grades (higher is better, equal ones tie), the mask is false where a list is padded. Losses are
computed in fp32 at least. A list in which nothing is better than anything else costs exactly 0, and passages that tie may change
places without changing a loss.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
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
    "kl",
    "listmle",
    "plistmle",
    "approx_ndcg",
    "neuralsort",
    "odd_even_network",
    "wasserstein",
    "robust_softmax",
    "generalised_cross_entropy",
    "dice",
    "fidelity",
    "margin_mse",
    "adr_mse",
    "plackett_luce",
)

EXPONENTIAL = ("lambdarank", "approx_ndcg", "plackett_luce")
"""their gains are 2^grade - 1"""

_LEGAL: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: value > 0, "above 0"),
    "steepness": (lambda value: value > 0, "above 0"),
    "margin": (lambda value: value >= 0, "0 or more"),
    "smoothing": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "softness": (lambda value: value >= 0, "0 or more"),
    "focus": (lambda value: value >= 0, "0 or more"),
    "q": (lambda value: 0 < value <= 1, "above 0, 1 at most"),
    "samples": (lambda value: isinstance(value, int) and value >= 2, "a whole number, 2 or more"),
    "cut": (lambda value: isinstance(value, int) and value >= 1, "a whole number, 1 or more"),
    "reward": (lambda value: value in ("ndcg", "rr"), "ndcg or rr"),
}
"""what an option may be"""


def loss_of(name: str, options: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name with its options (a temperature, say). Raises InputError for an unknown name, option, or value."""
    function, given = _function(name), options or {}
    legal = options_of(name)
    for option, value in given.items():
        if option not in legal:
            raise InputError(f"ranking loss {name!r} has no option {option}{near(option, legal)}; it has {', '.join(legal) or 'none'}")
        allowed, said = _LEGAL[option]
        number = not isinstance(value, bool) and isinstance(value, (int, float))
        if not (number or option == "reward") or not allowed(value):
            raise InputError(f"ranking loss {name!r}: {option} is {value!r}: it must be {said}")
    return partial(function, **given) if given else function


def options_of(name: str) -> list[str]:
    """The names of a loss's options."""
    found = inspect.signature(_function(name)).parameters.values()
    return [parameter.name for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]


def near(name: str, known: Any) -> str:
    """` (did you mean …?)`, where a known name is like it."""
    return "".join(f" (did you mean {one}?)" for one in get_close_matches(name, list(known), 1))


def _function(name: str) -> Any:
    if name not in NAMES:
        raise InputError(f"ranking loss {name!r}: unknown{near(name, NAMES)}; there are {', '.join(NAMES)}")
    return getattr(import_module(f"firstrank.training.losses.{name}"), name)
