"""Tests and intervals: SciPy's numbers, seeded, and sound where there is nothing to test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from firstrank.eval.significance import RESAMPLES, holm, interval, paired_t, pairs_of, randomisation

DRAW = np.random.default_rng(7)
A, B, C = (DRAW.uniform(0, 1, 43) for _ in range(3))
DIFFERENCES = np.array([B - A, C - A, (B - A) + 0.2])


def test_the_t_test_is_scipys():
    expected = [stats.ttest_rel(B, A).pvalue, stats.ttest_rel(C, A).pvalue]
    assert paired_t(DIFFERENCES)[:2] == pytest.approx(expected, rel=1e-12)


def test_the_bootstrap_is_scipys():
    for row, (low, high) in zip(DIFFERENCES, interval(DIFFERENCES, seed=3), strict=True):
        drawn = stats.bootstrap((row,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(3))
        assert (low, high) == pytest.approx(tuple(drawn.confidence_interval), abs=2e-3)
        assert low < row.mean() < high


def test_one_row_alone_draws_what_scipy_draws():
    drawn = stats.bootstrap((A,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(5))
    assert interval(A[None], seed=5)[0] == pytest.approx(tuple(drawn.confidence_interval), abs=1e-12)


def test_randomisation_is_seeded():
    assert randomisation(DIFFERENCES, seed=1).tolist() == randomisation(DIFFERENCES, seed=1).tolist()
    assert randomisation(DIFFERENCES, seed=1).tolist() != randomisation(DIFFERENCES, seed=2).tolist()


def test_randomisation_agrees_with_the_t_test_where_both_hold():
    assert randomisation(DIFFERENCES) == pytest.approx(paired_t(DIFFERENCES), abs=0.02)


def test_few_queries_are_tested_exactly():
    """Five differences of one sign: of 32 flips, two are as extreme."""
    assert randomisation(np.array([[0.1, 0.2, 0.3, 0.1, 0.2]])) == pytest.approx([2 / 32])


def test_no_difference_is_no_finding():
    zeros = np.zeros((2, 10))
    assert paired_t(zeros).tolist() == [1.0, 1.0]
    assert randomisation(zeros).tolist() == [1.0, 1.0]
    assert interval(zeros).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_one_query_has_no_spread():
    assert np.isnan(paired_t(np.array([[0.5]]))).all()
    assert np.isnan(interval(np.array([[0.5]]))).all()
    assert randomisation(np.array([[0.5]])).tolist() == [1.0]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_never_below_what_it_adjusts_and_keeps_the_order():
    p = DRAW.uniform(0, 0.2, 20).tolist()
    adjusted = holm(p)
    assert all(after >= before for before, after in zip(p, adjusted, strict=True))
    assert np.argsort(p, kind="stable").tolist() == sorted(range(20), key=lambda i: (adjusted[i], p[i]))


def test_every_pair_once():
    assert list(pairs_of(3)) == [(0, 1), (0, 2), (1, 2)]
