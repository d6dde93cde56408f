"""The Kemeny order: the one with the fewest pairs against several given orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Votes = NDArray[np.int64]
"""votes[i, j]: how many orders put i before j"""

EXACT = 10
"""candidates up to which all orders are searched (2^n subsets)"""


def kemeny(orders: Sequence[Sequence[int]], start: Sequence[int]) -> list[int]:
    """The order of `range(n)` with the fewest pairs against `orders`: exact for few candidates, else a local optimum near `start`."""
    votes = _votes(orders)
    return _exact(votes) if len(start) <= EXACT else _improved(list(start), votes)


def _votes(orders: Sequence[Sequence[int]]) -> Votes:
    places = np.argsort(np.asarray(orders, np.intp), axis=1)
    votes: Votes = (places[:, :, None] < places[:, None, :]).sum(axis=0)
    return votes


def _exact(votes: Votes) -> list[int]:
    """Dynamic programming over subsets: the cheapest way to have placed a set first, whatever comes after."""
    n = len(votes)
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for subset in range(1, 1 << n):
        members = [i for i in range(n) if subset >> i & 1]
        ways = []
        for last in members:
            cost, order = best[subset ^ (1 << last)]
            ways.append((cost + sum(int(votes[last, i]) for i in members), (*order, last)))
        best.append(min(ways))
    return list(best[-1][1])


def _improved(start: list[int], votes: Votes) -> list[int]:
    """Moves single candidates to their best place until no move helps."""
    gains = (votes.T - votes).astype(np.int32)  # gains[i, j]: pairs saved by putting j before i
    order = np.array(start, np.intp)
    saved = np.zeros(len(order) + 1, np.int32)  # by i with the first 0, 1, 2 … before it
    moved = True
    while moved:
        moved = False
        for i in order.tolist():
            np.cumsum(gains[i].take(order), out=saved[1:])
            place, target = int((order == i).argmax()), int(saved.argmax())
            if saved[target] > saved[place]:
                between, step = (slice(place, target), -1) if target > place else (slice(target, place + 1), 1)
                order[between] = np.roll(order[between], step)
                moved = True
    improved: list[int] = order.tolist()
    return improved
