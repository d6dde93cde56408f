"""Strategies on lists so short that every window can be said in advance. A candidate's number is its place; higher grades are better."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from firstrank.reranker.strategies.register import parse_strategy
from tests.reranker.strategies.driver import drive


class Case(NamedTuple):
    """What a strategy asks of candidates with these grades, round by round, what order comes of it, and how many places are certain."""

    why: str
    strategy: str
    grades: list[int]
    rounds: list[list[tuple[int, ...]]]
    order: list[int]
    certified: int


RISING = list(range(9))

CASES = [
    Case("a window of 3 hands its best on", "sliding:window=3,stride=2", [0, 1, 2, 3, 4], [[(2, 3, 4)], [(0, 1, 4)]], [4, 1, 0, 3, 2], 1),
    Case("half a window is the stride", "sliding:window=4", RISING[:6], [[(2, 3, 4, 5)], [(0, 1, 5, 4)]], [5, 4, 1, 0, 3, 2], 2),
    Case("rounded down", "sliding:window=3", RISING[:5], [[(2, 3, 4)], [(1, 4, 3)], [(0, 4, 3)]], [4, 3, 0, 1, 2], 2),
    Case("the last window is as long as any", "sliding:window=3,stride=2", [0, 1, 2, 3], [[(1, 2, 3)], [(0, 3, 2)]], [3, 2, 0, 1], 1),
    Case("nothing is handed on", "sliding:window=3,stride=3", [0, 1, 2, 3, 4], [[(2, 3, 4)], [(0, 1, 4)]], [4, 1, 0, 3, 2], 0),
    Case(
        "a second pass settles a second place", "sliding:window=3,stride=2,passes=2", [0, 1, 2, 3, 4],
        [[(2, 3, 4)], [(0, 1, 4)], [(0, 3, 2)], [(4, 1, 3)]], [4, 3, 1, 2, 0], 2,
    ),
    Case("one window holds all", "sliding:window=5,stride=1", [1, 3, 2], [[(0, 1, 2)]], [1, 2, 0], 3),
    Case(
        "a pass that changes nothing is the last", "sliding:window=3,stride=2,passes=3", [4, 3, 2, 1],
        [[(1, 2, 3)], [(0, 1, 2)]], [0, 1, 2, 3], 4,
    ),
    Case(
        "what a pass hands on is certain, though less was asked for", "sliding:window=4,stride=2,passes=3,top_k=1", RISING[6:0:-1],
        [[(2, 3, 4, 5)], [(0, 1, 2, 3)]], [0, 1, 2, 3, 4, 5], 2,
    ),
    Case("all of the list, in the last pass's order", "full:passes=2", [1, 3, 2], [[(0, 1, 2)], [(1, 2, 0)]], [1, 2, 0], 3),
    Case("nothing is asked of an empty list", "full:passes=2", [], [], [], 0),
    Case("each by itself", "pointwise", [1, 3, 2], [[(0, 1, 2)]], [1, 2, 0], 3),
    Case("of nothing", "pointwise", [], [], [], 0),
    Case(
        "the best of the head is the pivot; only those above it meet again", "topdown:window=3,k=1", RISING[:6],
        [[(0, 1, 2)], [(2, 3), (2, 4, 5)], [(5, 4, 3)]], [5, 4, 3, 2, 1, 0], 1,
    ),
    Case(
        "the second best is the pivot; the losers follow by how far below it they are", "topdown:window=3,k=2", [5, 1, 4, 3, 2, 0, 6],
        [[(0, 1, 2)], [(2, 3, 4), (2, 5, 6)], [(6, 0)]], [6, 0, 2, 3, 4, 1, 5], 2,
    ),
    Case(
        "nobody beats the pivot", "topdown:window=4,k=1", [0, 9, 1, 2, 3, 4, 5],
        [[(0, 1, 2, 3)], [(1, 4, 5, 6)]], [1, 6, 5, 4, 3, 2, 0], 1,
    ),
    Case("as many places as a window but one", "topdown:window=4", RISING[:5], [[(0, 1, 2, 3)], [(1, 4)], [(4, 3, 2)]], [4, 3, 2, 1, 0], 3),
    Case("one window holds all", "topdown:window=4,k=1", [1, 3, 2], [[(0, 1, 2)]], [1, 2, 0], 3),
    Case(
        "a budget that cuts certifies nothing", "topdown:window=4,k=2,budget=2", RISING[:8],
        [[(0, 1, 2, 3)], [(2, 4, 5), (2, 6, 7)], [(7, 6)]], [7, 6, 5, 4, 3, 2, 1, 0], 0,
    ),
    Case(
        "heads meet two by two, up a tree", "tournament:window=3,k=1", RISING,
        [[(0, 1, 2), (3, 4, 5), (6, 7, 8)], [(5, 8)], [(2, 8)]], [8, 2, 5, 1, 4, 7, 0, 3, 6], 1,
    ),
    Case(
        "a match shows what it can of each side; a side that may hold the next place is asked on", "tournament:window=4,k=3", RISING[:8],
        [[(0, 1, 2, 3), (4, 5, 6, 7)], [(3, 2, 7, 6)], [(3, 5)]], [7, 6, 5, 3, 2, 1, 0, 4], 3,
    ),
    Case(
        "the runner-up comes from behind the winner", "tournament:window=2,k=2", RISING[:4],
        [[(0, 1), (2, 3)], [(1, 3)], [(1, 2)]], [3, 2, 1, 0], 2,
    ),
    Case(
        "three heads meet at once, where a window has room for three", "tournament:window=5,k=1", list(range(15)),
        [[(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11, 12, 13, 14)], [(4, 9, 14)]],
        [14, 9, 4, 3, 8, 13, 2, 7, 12, 1, 6, 11, 0, 5, 10], 1,
    ),
    Case(
        "what one side alone has left needs no match", "tournament:window=4,k=5", [9, 8, 5, 4, 3],
        [[(0, 1), (2, 3, 4)], [(0, 1, 2, 3)]], [0, 1, 2, 3, 4], 5,
    ),
    Case("one group", "tournament:window=4,k=1", [1, 3, 2], [[(0, 1, 2)]], [1, 2, 0], 3),
    Case(
        "the heads of all groups meet; what follows is not asked", "blitz:window=3,k=1", RISING,
        [[(0, 1, 2), (3, 4, 5), (6, 7, 8)], [(2, 5, 8)]], [8, 5, 7, 2, 4, 6, 1, 3, 0], 1,
    ),
    Case(
        "the second place is open between two, and only they meet", "blitz:window=3,k=2", RISING[:6],
        [[(0, 1, 2), (3, 4, 5)], [(2, 5, 1)], [(2, 4)]], [5, 4, 2, 3, 1, 0], 2,
    ),
    Case("a list of one needs no window", "blitz:window=3,k=1", [7], [], [0], 1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.strategy}: {case.why}")
def test_windows_order_and_certainty(case):
    driven = drive(parse_strategy(case.strategy), len(case.grades), lambda window: [float(case.grades[i]) for i in window])
    assert driven.rounds == case.rounds
    assert list(driven.outcome.order) == case.order
    assert driven.outcome.certified == case.certified


@pytest.mark.parametrize("name", ["sliding", "full", "topdown", "tournament", "blitz", "pointwise"])
def test_of_nothing_nothing_is_asked_and_nothing_said(name):
    outcome, rounds = drive(parse_strategy(name), 0, lambda window: [])
    assert (list(outcome.order), outcome.certified, outcome.notes, rounds) == ([], 0, (), [])


def test_a_window_s_own_level_moves_nothing():
    """Losers are ordered by how far below the pivot they scored in their own window, whatever the level of its scores."""
    levels = {(0, 1, 2): 50.0, (2, 3): -20.0, (2, 4, 5): 7.0}
    grades = [0.0, 1.0, 9.0, 5.0, 7.0, 3.0]
    driven = drive(parse_strategy("topdown:window=3,k=1"), 6, lambda window: [grades[i] + levels[window] for i in window])
    assert list(driven.outcome.order) == [2, 4, 3, 5, 1, 0]
