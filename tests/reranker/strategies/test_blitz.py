"""The tournament graph: its closure is the transitive one, nothing known is asked, and contradictions are told."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.strategies.blitz import _Graph, blitz
from tests.reranker.strategies.driver import drive


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32))
def test_the_closure_is_transitive_whatever_contradicts(n, windows, seed):
    draw = random.Random(seed)
    graph = _Graph(n)
    beats = [[False] * n for _ in range(n)]
    for _ in range(windows):
        window = draw.sample(range(n), draw.randint(2, n))
        graph.add(window)
        for better, worse in combinations(window, 2):
            beats[better][worse] = True
        for via in range(n):
            for i in range(n):
                for j in range(n):
                    beats[i][j] |= beats[i][via] and beats[via][j]
        for i in range(n):
            assert [bool(graph._below[i] >> j & 1) for j in range(n)] == beats[i]
            assert [bool(graph._above[i] >> j & 1) for j in range(n)] == [beats[j][i] for j in range(n)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.integers(2, 20), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32))
def test_no_window_whose_answer_follows_from_those_before_it(n, window, k, noise, seed):
    draw = random.Random(seed)
    values = [draw.gauss(0, 1) for _ in range(n)]
    graph, answered = _Graph(n), []

    def answer(asked: tuple[int, ...]) -> list[float]:
        scores = [values[i] + draw.gauss(0, noise) for i in asked]
        answered.append(sorted(asked, key=lambda i: (-scores[asked.index(i)], i)))
        return scores

    for windows in drive(blitz(window, k=k), n, answer).rounds:
        for asked in windows:
            assert any(not (graph._below[i] | graph._above[i]) >> j & 1 for i, j in combinations(asked, 2))
        for _ in windows:
            graph.add(answered.pop(0))


def test_what_follows_from_two_windows_is_known_and_what_does_not_is_asked_of_the_best():
    graph = _Graph(6)
    graph.add([4, 2, 0])
    graph.add([5, 4, 1])
    assert graph.order() == [5, 3, 4, 2, 1, 0], "by how many are known to be better, then by how many are known to be worse"
    assert graph.cycles() == set()
    assert graph.next_window(1, 6) == [(3, 5)], "nobody is known to be better than 3 or 5"
    assert graph.next_window(2, 6) == [(3, 5, 4)], "one is known to be better than 4"
    assert graph.next_window(2, 2) == [(3, 5)]
    graph.add([5, 3])
    assert graph.next_window(1, 6) == []
    assert graph.next_window(2, 6) == [(3, 4)]


def test_a_tier_is_ordered_by_who_beat_whom_in_it():
    graph = _Graph(4)
    for window in ([1, 2], [2, 3], [3, 1], [3, 2], [3, 0]):
        graph.add(window)
    assert graph.cycles() == {(1, 2, 3)}
    assert graph.order() == [3, 1, 2, 0], "3 beat both others, 1 and 2 one each"
    assert [bool(graph.mates(i)) for i in range(4)] == [False, True, True, True]


def test_a_contradiction_is_told_with_how_many_share_its_tier():
    """0 before 1 at first, then 1 before 2 before 0: the three share a tier, 1 has two wins in it, and 3 is behind them all."""
    best_first = {(0, 1): [0, 1], (2, 3): [2, 3], (0, 2, 1): [1, 2, 0]}
    driven = drive(blitz(3, k=4), 4, lambda window: [-float(best_first[window].index(i)) for i in window])
    assert driven.rounds == [[(0, 1), (2, 3)], [(0, 2, 1)]]
    assert list(driven.outcome.order) == [1, 0, 2, 3]
    assert driven.outcome.certified == 0
    assert driven.outcome.notes == ("blitz: 1 cycles, of up to 3 candidates, ordered by wins",)


def test_a_cycle_is_one_tier_ordered_by_wins_and_reported():
    graph = _Graph(4)
    for pair in ([0, 1], [1, 2], [2, 0], [0, 3]):
        graph.add(pair)
    assert graph.cycles() == {(0, 1, 2)}
    assert graph.order()[-1] == 3


def test_contradictions_are_noted_and_nothing_in_a_cycle_is_certified():
    noted = 0
    for seed in range(20):
        draw = random.Random(seed)
        outcome = drive(blitz(5, k=10), 40, lambda asked, draw=draw: [draw.gauss(i % 4, 1) for i in asked]).outcome
        assert sorted(outcome.order) == list(range(40))
        assert outcome.certified < 10 or not outcome.notes or "ordered by wins" in outcome.notes[0]
        noted += bool(outcome.notes)
    assert noted
