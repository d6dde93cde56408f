"""Sliding windows, back to front: the field's standard (arXiv 2304.09542)."""

from __future__ import annotations

import math

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import (
    Asking,
    Fit,
    Steps,
    WindowSize,
    by_score,
    check_at_least,
    check_top_k,
    check_window,
    fit_of,
)
from firstrank.reranker.types import Outcome, Strategy, View


def sliding(window: WindowSize = 20, stride: int | None = None, passes: int = 1, top_k: int | None = None) -> Strategy:
    """Ranks windows from the back of the list to its front, `stride` apart (by default half a window), `passes` times over.

    A window hands its best `window - stride` on to the next, so a pass certifies as many places. With `auto`, each window is
    as long as its passages let it be, and hands on half of what would fit were they all the longest. A pass that changes
    nothing in the top k (without `top_k`: nowhere) is the last.
    """
    check_window(window)
    check_at_least(1, stride=stride, passes=passes, top_k=top_k)
    if window == "auto" and stride is not None:
        raise InputError(f"stride={stride}: leave it out with window=auto, which has no fixed length and moves by half a window")
    if window != "auto" and stride is not None and stride > window:
        raise InputError(f"stride={stride} is larger than window={window}: some candidates would never be read")

    def strategy(view: View) -> Steps:
        fits = fit_of(window, view)
        handed_on = fits.least - (stride or fits.least // 2)
        guaranteed = view.n if fits.first(range(view.n)) == view.n else min(view.n, passes * handed_on)
        check_top_k(top_k, guaranteed, view, _remedy(min(top_k or 0, view.n), handed_on))
        order = list(range(view.n))
        for done in range(1, passes + 1):
            before = order[:top_k]
            yield from sweep(order, fits, handed_on)
            if handed_on and order[:top_k] == before:
                return Outcome(order, max(len(before), min(guaranteed, done * handed_on)))
        return Outcome(order, guaranteed)

    return strategy


def sweep(order: list[int], fits: Fit, handed_on: int) -> Asking[None]:
    """One pass over `order`, in place: the last window begins at the first place and is as long as any."""
    end = len(order)
    while end:
        start = end - fits.last(order[:end])
        here = slice(start, end if start else fits.first(order))
        [scores] = yield [tuple(order[here])]
        order[here] = by_score(order[here], scores)
        end = start and start + handed_on


def _remedy(top_k: int, handed_on: int) -> str:
    if handed_on == 0:
        return "the stride must be smaller than the window"
    return f"passes={math.ceil(top_k / handed_on)} would do"
