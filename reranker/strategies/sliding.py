"""Sliding windows, back to front: the field's standard (arXiv 2304.09542)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from reranker.errors import InputError
from reranker.strategies.order import Asking, Run, Window, by_score, check_at_least, check_top_k, check_window, size
from reranker.types import Outcome, Strategy, View


def sliding(window: Window = 20, stride: int = 10, passes: int = 1, top_k: int | None = None) -> Strategy:
    """Ranks windows from the back of the list to its front, `stride` apart, `passes` times over.

    A window hands its best `window - stride` on to the next, so a pass certifies as many places. With `auto`, windows are as
    long as the model takes and hand on half. A pass that changes nothing in the top k (without `top_k`: nowhere) is the last.
    """
    check_window(window)
    check_at_least(1, stride=stride, passes=passes, top_k=top_k)
    if window != "auto" and stride > window:
        raise InputError(f"stride={stride} is larger than window={window}: some candidates would never be read")

    def strategy(view: View) -> Run:
        most = size(window, view)
        handed_on = most // 2 if window == "auto" else most - stride
        guaranteed = view.n if view.n <= most else min(view.n, passes * handed_on)
        check_top_k(top_k, guaranteed, view, _remedy(min(top_k or 0, view.n), handed_on))
        order = list(range(view.n))
        for done in range(1, passes + 1):
            before = order[:top_k]
            yield from sweep(order, most, most - handed_on)
            if handed_on and order[:top_k] == before:
                return Outcome(order, max(len(before), min(guaranteed, done * handed_on)))
        return Outcome(order, guaranteed)

    return strategy


def sweep(order: list[int], window: int, stride: int) -> Asking[None]:
    """One pass over `order`, in place."""
    for start in _starts(len(order), window, stride):
        here = slice(start, start + window)
        [scores] = yield [tuple(order[here])]
        order[here] = by_score(order[here], scores)


def _starts(n: int, window: int, stride: int) -> Iterator[int]:
    start = max(n - window, 0)
    while start > 0:
        yield start
        start = max(start - stride, 0)
    if n > 0:
        yield 0


def _remedy(top_k: int, handed_on: int) -> str:
    if handed_on == 0:
        return "the stride must be smaller than the window"
    return f"passes={math.ceil(top_k / handed_on)} would do"
