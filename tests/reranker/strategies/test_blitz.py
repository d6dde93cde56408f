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
