"""All candidates in one window, for models that read that many."""

from __future__ import annotations

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import Steps, by_score, check_at_least
from firstrank.reranker.types import Outcome, Strategy, View


def full(passes: int = 1, top_k: int | None = None) -> Strategy:
    """Ranks the whole list at once; each further pass shows it in the order of the last.

    Certifies every place. A pass that changes nothing in the top k (without `top_k`: nowhere) is the last.
    """
    check_at_least(1, passes=passes, top_k=top_k)

    def strategy(view: View) -> Steps:
        if view.n > view.max_window:
            raise InputError(
                f"full: the model's labels and context allow {view.max_window} of these {view.n} candidates in a window; "
                f"use depth {view.max_window}, or another strategy"
            )
        order = list(range(view.n))
        for _ in range(passes if view.n else 0):
            before = order[:top_k]
            [scores] = yield [tuple(order)]
            order = by_score(order, scores)
            if order[:top_k] == before:
                break
        return Outcome(order, view.n)

    return strategy
