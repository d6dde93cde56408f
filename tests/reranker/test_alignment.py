"""One score a candidate: what alignment promises, for any windows and any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.alignment import align, falling, relevance, strictly_decreasing

logits = st.floats(-1e4, 1e4, width=32)


@st.composite
def ranked(draw: st.DrawFn) -> tuple[list[int], list[tuple[list[int], list[float]]]]:
    """An order over n candidates, and windows over some of them that need not agree with it."""
    n = draw(st.integers(1, 40))
    order = draw(st.permutations(range(n)))
    windows = []
    for _ in range(draw(st.integers(0, 6))):
        indices = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=min(n, 12), unique=True))
        windows.append((indices, draw(st.lists(logits, min_size=len(indices), max_size=len(indices)))))
    return order, windows


@given(ranked())
def test_scores_fall_strictly_in_float32(case):
    order, windows = case
    raw = align(order, windows)
    assert raw.dtype == np.float32
    assert len(raw) == len(order)
    assert np.isfinite(raw).all()
    assert (np.diff(raw) < 0).all()
    scores = relevance(raw)
    assert (np.diff(scores) < 0).all()
    assert (scores > 0).all()
    assert (scores < 1).all()


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30, unique=True))
def test_one_window_gives_its_centred_logits(values):
    order = sorted(range(len(values)), key=lambda i: -values[i])
    expected = np.sort(np.array(values) - np.mean(values))[::-1]
    np.testing.assert_allclose(align(order, [(range(len(values)), values)]), expected, atol=1e-5)


@given(ranked(), st.floats(-1e3, 1e3))
def test_a_constant_added_to_one_window_moves_nothing(case, constant):
    order, windows = case
    moved = [(indices, [value + constant for value in values]) for indices, values in windows[:1]] + windows[1:]
    scale = max([1.0, *(abs(value) for _, values in windows for value in values)])
    np.testing.assert_allclose(align(order, windows), align(order, moved), atol=1e-5 * scale)


def test_levels_come_from_shared_candidates():
    # the same true scores 9 … 0, seen by two windows that share three candidates; the windows' own levels differ
    truth = np.arange(9.0, -1.0, -1.0)
    windows = [(list(range(6)), list(truth[:6] + 100)), (list(range(3, 10)), list(truth[3:] - 7))]
    np.testing.assert_allclose(align(list(range(10)), windows), truth - truth.mean(), atol=1e-4)


def test_levels_come_from_all_windows_at_once():
    # three windows with levels of their own; two candidates are in all of them, one is in the first and the last
    truth = np.arange(9.0, -1.0, -1.0)
    windows = [(held, list(truth[held] + level)) for held, level in (([0, 1, 2, 4, 5], 100), ([2, 3, 4], -7), ([1, 2, 4, 6, 7, 8, 9], 3))]
    np.testing.assert_allclose(align(list(range(10)), windows), truth - truth.mean(), atol=1e-4)


def test_of_windows_that_disagree_each_difference_counts_once():
    """Two windows share b and c, and disagree by 1 on how far apart they are: both are met half way."""
    windows = [([0, 1, 2], [5.0, 2.0, 0.0]), ([1, 2, 3], [3.0, 0.0, -3.0])]
    assert np.diff(align([0, 1, 2, 3], windows)).tolist() == pytest.approx([-2.75, -2.5, -3.25])


def test_a_candidate_that_no_window_held_follows_the_one_before():
    raw = align([1, 0, 2], [([0, 1], [0.0, 2.0])])
    assert raw[1] - raw[2] == pytest.approx(0.0, abs=1e-6)
    assert raw[1] > raw[2]


def test_without_candidates_there_are_no_scores():
    assert align([], []).shape == relevance(align([], [])).shape == (0,)


def test_an_average_candidate_scores_one_half():
    assert relevance(align([0], [([0], [12.5])]))[0] == 0.5
    assert np.mean(align([2, 0, 1], [([0, 1, 2], [1.0, -3.0, 7.5])])) == pytest.approx(0.0, abs=1e-6)


def one_by_one(values):
    """Each of `values` lowered, if it is not below the one before it, to the next number below that."""
    lowered = values.copy()
    for i in range(1, len(lowered)):
        if lowered[i] >= lowered[i - 1]:
            lowered[i] = np.nextafter(lowered[i - 1], -np.array(np.inf, values.dtype))
    return lowered


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@given(st.lists(st.one_of(st.floats(-1e30, 1e30), st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e-45])), max_size=50))
def test_strictly_decreasing_lowers_no_more_than_it_must(kind, values):
    values = np.array(values, kind)
    result = strictly_decreasing(values)
    assert result.dtype == kind
    assert result.tobytes() == one_by_one(values).tobytes()
    assert (np.diff(result.astype(np.float64)) < 0).all()


@given(st.lists(st.floats(0, 1), max_size=60))
def test_probabilities_fall_with_rank_and_stay_within_0_and_1(values):
    found, moved = falling(np.array(values))
    assert (np.diff(found) < 0).all()
    assert ((found > 0) & (found < 1)).all()
    assert 0 <= moved <= len(values)


def test_probabilities_that_fall_already_are_kept_and_others_meet_in_their_mean():
    assert [falling(np.array([]))[0].shape, falling(np.array([]))[1]] == [(0,), 0]
    kept, moved = falling(np.array([0.9, 0.5, 0.1]))
    assert kept.tolist() == pytest.approx([0.9, 0.5, 0.1])
    assert moved == 0
    met, moved = falling(np.array([0.9, 0.2, 0.4, 0.1]))
    assert met.tolist() == pytest.approx([0.9, 0.3, 0.3, 0.1])
    assert moved == 2
