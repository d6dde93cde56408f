"""Every candidate read once, in one round: for models that read a passage at a time."""

from __future__ import annotations

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import Steps, by_score
from firstrank.reranker.types import Outcome, Strategy, View


def pointwise() -> Strategy:
    """All candidates at once, in the order of their scores; certifies every place. InputError where a window cannot hold them all."""

    def strategy(view: View) -> Steps:
        if view.n > view.max_window:
            raise InputError(
                f"pointwise: would read all {view.n} candidates in one round, and this model takes {view.max_window} in a window; "
                "use another strategy, or a model that reads a passage at a time"
            )
        order = list(range(view.n))
        if not order:
            return Outcome(order, 0)
        [scores] = yield [tuple(order)]
        return Outcome(by_score(order, scores), view.n)

    return strategy
