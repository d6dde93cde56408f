"""Top-down partitioning: compare everyone with one pivot, in parallel (arXiv 2405.14589)."""

from __future__ import annotations

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import (
    TOP,
    Asking,
    Steps,
    WindowSize,
    by_score,
    check_at_least,
    check_top_k,
    check_window,
    parts,
    size,
)
from firstrank.reranker.types import Outcome, Strategy, View


def topdown(window: WindowSize = 20, k: int | None = None, budget: int | None = None, top_k: int | None = None) -> Strategy:
    """Ranks the first window; its k-th passage is the pivot that all others are compared with; the winners are ranked likewise.

    Certifies k places (`top_k`, else 10, else as many as the window allows). A `budget` keeps so many winners, those furthest
    above the pivot, and never compares the others again: one more round where a window holds them, and no guarantee where it
    cut. Candidates below the pivot are ordered by how far below it they scored.
    """
    check_window(window)
    check_at_least(1, k=k, top_k=top_k)
    if window != "auto" and k is not None and k >= window:
        raise InputError(f"k={k} must be smaller than window={window}: a pivot at the end of its window keeps all candidates")
    if budget is not None and budget < (k or 1):
        raise InputError(f"budget={budget} is smaller than k={k}: the best k would not fit in it")

    def strategy(view: View) -> Steps:
        most = size(window, view)
        place = min(k or top_k or TOP, most - 1, budget or view.n)
        sure = view.n <= most or budget is None or budget >= view.n
        check_top_k(top_k, (view.n if view.n <= most else place) if sure else 0, view, _remedy(most, sure))
        order, cut = yield from _rank(list(range(view.n)), most, place, budget)
        if cut:
            return Outcome(order, 0, (f"topdown: {cut} candidates that beat a pivot were beyond the budget of {budget}",))
        return Outcome(order, view.n if view.n <= most else place)

    return strategy


def _rank(candidates: list[int], window: int, k: int, budget: int | None) -> Asking[tuple[list[int], int]]:
    """The candidates, the best k of them first and in order, and how many winners the budget cut."""
    head = tuple(candidates[:window])
    if not head:
        return [], 0
    [opening] = yield [head]
    pivot = by_score(head, opening)[min(k, len(head)) - 1]
    windows = [(pivot, *part) for part in parts(candidates[window:], window - 1)]
    answers = (yield windows) if windows else []
    ahead: dict[int, tuple[float, float]] = {}  # of the pivot; the value itself parts what rounding made equal
    for asked, scores in zip([head, *windows], [opening, *answers], strict=True):
        level = scores.values[asked.index(pivot)]
        ahead |= {i: (value - level, value) for i, value in zip(asked, scores.values, strict=True) if i != pivot or asked is head}
    order = sorted(candidates, key=lambda i: (-ahead[i][0], -ahead[i][1], i))
    winners, losers = order[: order.index(pivot)], order[order.index(pivot) :]
    if not windows or len(winners) < k:
        return order, 0
    kept, cut = winners[:budget], winners[budget or len(winners) :]
    best, deeper = yield from _rank(kept, window, k, budget)
    return best + cut + losers, len(cut) + deeper


def _remedy(window: int, sure: bool) -> str:
    if not sure:
        return "a budget guarantees nothing: leave it out"
    return f"k may be up to {window - 1}; beyond, use a larger window, or tournament"
