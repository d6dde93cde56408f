"""Which windows to rank next: one file per algorithm, and here the register and the names `NAME[:key=value,…]`.

A strategy is a generator that never touches a model (see `firstrank.reranker.types.Strategy`). A new one is a file here and a line in
`STRATEGIES`; its keys, their types and their defaults are its factory's parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.blitz import blitz
from firstrank.reranker.strategies.consistent import consistent
from firstrank.reranker.strategies.full import full
from firstrank.reranker.strategies.pointwise import pointwise
from firstrank.reranker.strategies.sliding import sliding
from firstrank.reranker.strategies.topdown import topdown
from firstrank.reranker.strategies.tournament import tournament
from firstrank.reranker.strategies.windows import Steps
from firstrank.reranker.types import Outcome, Strategy, View, Windows

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "sliding": sliding,
    "full": full,
    "topdown": topdown,
    "tournament": tournament,
    "blitz": blitz,
    "consistent": consistent,
    "pointwise": pointwise,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A strategy and the name under which it was asked for."""

    name: str
    strategy: Strategy

    def __call__(self, view: View) -> Steps:
        return self.strategy(view)


def parse_strategy(text: str, **defaults: Any) -> Strategy:
    """The strategy that `NAME[:key=value,…]` names: `sliding`, `topdown:k=10`, `consistent:of=topdown,shuffles=5,k=10`.

    `defaults` (window, stride, passes, top_k …) hold where the strategy has such a parameter, the text does not set it, and
    they are not None; a window in the text has its own stride. Keys that a wrapper does not know go to the strategy that it
    wraps. Raises InputError for unknown names, keys and values (it lists the legal ones) and for combinations that cannot work.
    """
    name, _, rest = text.strip().partition(":")
    given = _pairs(text, rest)
    if "window" in given:
        defaults["stride"] = None
    strategy, legal = _build(name.strip(), given, {key: value for key, value in defaults.items() if value is not None})
    if given:
        raise InputError(f"strategy {text!r}: unknown key {next(iter(given))!r}; use {', '.join(legal)}")
    return Named(text.strip(), strategy)


def said_in(text: str) -> tuple[set[str], set[str]]:
    """The numbers that a strategy has, those of what it wraps among them, and those that its text says."""
    name, _, rest = text.strip().partition(":")
    given = _pairs(text, rest)
    said = set(given)
    _, legal = _build(name.strip(), given, {})
    return set(legal), said


def either(first: Strategy, second: Strategy) -> Strategy:
    """`first`, or `second` for a request that `first` refuses before its first window (a top_k beyond what it guarantees there …)."""

    def strategy(view: View) -> Steps:
        run = first(view)
        try:
            windows = next(run)
        except InputError:
            return (yield from second(view))
        except StopIteration as stop:
            return cast(Outcome, stop.value)
        return (yield from _going_on(run, windows))

    return Named(getattr(first, "name", ""), strategy)


def _going_on(run: Steps, windows: Windows) -> Steps:
    """The rest of a strategy whose first windows have been taken out of it."""
    try:
        while True:
            windows = run.send((yield windows))
    except StopIteration as stop:
        return cast(Outcome, stop.value)
    finally:
        run.close()


def check_strategy(strategy: Strategy, n: int, max_window: int) -> None:
    """Raises the InputError that a request of n candidates would meet, before any work is done (a top_k beyond the guarantee …)."""
    next(strategy(View(n, (1,) * n, max_window, 0)), None)


def _pairs(text: str, rest: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in rest.split(",") if rest.strip() else ():
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value):
            raise InputError(f"strategy {text!r}: {pair!r} is not key=value; write NAME:key=value,key=value")
        if key in given:
            raise InputError(f"strategy {text!r}: the key {key!r} is given twice")
        given[key] = value
    return given


def _build(name: str, given: dict[str, str], defaults: dict[str, Any]) -> tuple[Strategy, list[str]]:
    """The strategy `name`, which takes its keys out of `given`, and the keys that it has."""
    if name not in STRATEGIES:
        raise InputError(f"unknown strategy {name!r}: use {', '.join(STRATEGIES)}")
    hints = _parameters(name)
    legal = list(hints)
    arguments: dict[str, Any] = {}
    for key, hint in hints.items():
        if hint == Strategy:
            arguments[key], inner = _build(given.pop(key, "sliding"), given, defaults)
            legal += inner
        elif key in given or key in defaults:
            value = given.pop(key, None) or defaults[key]
            arguments[key] = _value(name, key, value, hint) if isinstance(value, str) else value
    return STRATEGIES[name](**arguments), legal


def _parameters(name: str) -> dict[str, Any]:
    """Parameter -> type, of a factory."""
    hints = get_type_hints(STRATEGIES[name])
    return {key: hints[key] for key in inspect.signature(STRATEGIES[name]).parameters}


def _value(name: str, key: str, text: str, hint: Any) -> Any:
    kinds = get_args(hint) if get_origin(hint) is not Literal else (hint,)
    for kind in kinds or (hint,):
        if get_origin(kind) is Literal and text in get_args(kind):
            return text
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    raise InputError(f"strategy {name!r}: {key}={text}: {key} is {_describe(hint)}")


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if hint in (int, float):
        return {int: "a whole number", float: "a number"}[hint]
    return " or ".join(_describe(kind) for kind in get_args(hint) if kind is not type(None))
