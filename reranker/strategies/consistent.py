"""Permutation self-consistency: rank several shuffles of the list, settle on the order in their middle (arXiv 2310.07712)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from firstrank.reranker.alignment import strictly_decreasing
from firstrank.reranker.strategies.kemeny import kemeny
from firstrank.reranker.strategies.windows import Steps, check_at_least, renamed, together
from firstrank.reranker.types import Outcome, Scores, Strategy, View

Order = Sequence[int]


def consistent(of: Strategy, shuffles: int = 5, aggregate: Literal["borda", "kemeny"] = "borda") -> Strategy:
    """Runs `of` on seeded shuffles of the candidates, all at once, and joins the orders.

    Costs `shuffles` times what `of` costs, in as many rounds. `borda` takes each candidate's mean place; `kemeny` the order
    with the fewest pairs against the shuffles' (exact up to 10 candidates, beyond by local search). Certifies what all
    shuffles certify.
    """
    check_at_least(1, shuffles=shuffles)

    def strategy(view: View) -> Steps:
        dice = random.Random(view.seed)
        outcomes = yield from together(*(_shuffled(of, view, dice) for _ in range(shuffles)))
        order = _AGGREGATES[aggregate]([outcome.order for outcome in outcomes])
        notes = dict.fromkeys(note for outcome in outcomes for note in outcome.notes)
        return Outcome(order, min(outcome.certified for outcome in outcomes), tuple(notes))

    return strategy


def borda(orders: Sequence[Order]) -> list[int]:
    """Candidates by the sum of their places; ties in first-stage order."""
    places = [0] * len(orders[0])
    for order in orders:
        for place, i in enumerate(order):
            places[i] += place
    return sorted(range(len(places)), key=lambda i: (places[i], i))


_AGGREGATES: dict[str, Callable[[Sequence[Order]], list[int]]] = {"borda": borda, "kemeny": lambda orders: kemeny(orders, borda(orders))}


def _shuffled(of: Strategy, view: View, dice: random.Random) -> Steps:
    """`of` on the candidates in another order; it sees places in that order, those outside see candidates."""
    names = dice.sample(range(view.n), view.n)
    return renamed(of(view._replace(lengths=[view.lengths[i] for i in names], seed=dice.getrandbits(32))), names, _untied)


def _untied(window: Sequence[int], scores: Scores) -> Scores:
    """Scores whose ties are in first-stage order, which a strategy that sees a shuffle cannot know."""
    if len(set(scores.values)) == len(window):
        return scores
    value = dict(zip(window, scores.values, strict=True))
    order = sorted(window, key=lambda i: (-value[i], i))
    value = dict(zip(order, strictly_decreasing(np.array([value[i] for i in order], np.float64)).tolist(), strict=True))
    return replace(scores, values=tuple(value[i] for i in window))
