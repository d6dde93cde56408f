"""Several shuffles, one order: what is asked, whose ties, and what is certified."""

from __future__ import annotations

from firstrank.reranker.strategies.consistent import borda, consistent
from firstrank.reranker.strategies.full import full
from firstrank.reranker.strategies.sliding import sliding
from firstrank.reranker.types import Outcome
from tests.reranker.strategies.driver import drive


def test_every_shuffle_shows_all_candidates_in_one_round():
    driven = drive(consistent(full(), 3), 6, lambda window: [float(i) for i in window], seed=1)
    [windows] = driven.rounds
    assert [sorted(window) for window in windows] == [list(range(6))] * 3
    assert len(set(windows)) == 3
    assert list(driven.outcome.order) == [5, 4, 3, 2, 1, 0]
    assert driven.outcome.certified == 6


def test_ties_are_those_of_the_first_stage_whatever_the_shuffle():
    grades = [1, 2, 1, 2, 1, 0, 0]
    for seed in range(5):
        driven = drive(consistent(full(), 2), 7, lambda window: [float(grades[i]) for i in window], seed=seed)
        assert list(driven.outcome.order) == [1, 3, 0, 2, 4, 5, 6]


def test_what_all_shuffles_certify_is_certified_and_a_note_is_said_once():
    def noted(view):
        [scores] = yield [tuple(range(view.n))]
        return Outcome(list(range(view.n)), int(scores.values[0]), ("a note",))

    outcome = drive(consistent(noted, 4), 5, lambda window: [float(window[0])] * len(window), seed=2).outcome
    firsts = [window[0] for window in drive(consistent(noted, 4), 5, lambda window: [0.0] * 5, seed=2).windows]
    assert outcome.certified == min(firsts)
    assert outcome.notes == ("a note",)


def test_windows_that_fill_the_context_follow_their_candidates_into_the_shuffle():
    lengths = [50, 10, 10, 50, 10, 10]
    driven = drive(consistent(sliding("auto"), 3), 6, lambda window: [0.0] * len(window), lengths=lengths, room=100, max_window=6)
    assert all(sum(lengths[i] for i in window) <= 100 for window in driven.windows)


def test_borda_of_equal_sums_is_first_stage_order():
    assert borda([[0, 1], [1, 0]]) == [0, 1]
    assert borda([[2, 0, 1], [2, 1, 0], [0, 2, 1]]) == [2, 0, 1]
