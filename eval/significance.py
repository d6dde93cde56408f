"""Whether two systems differ: paired tests over queries, intervals, and Holm's correction. The numbers are SciPy's.

Arrays are (rows, queries): a row is a system's values, or the differences of a pair of systems. Draws are seeded, and shared by all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

RESAMPLES = 9999
LEVEL = 0.95
_VALUES_A_BATCH = 1 << 22


def paired_t(differences: Floats) -> Floats:
    """Two-sided p-values of Student's paired t-test, one a row: shape (pairs,).

    1 where all differences are the same 0, NaN for fewer than two queries.
    """
    pairs, queries = differences.shape
    if queries < 2:
        return np.full(pairs, np.nan)
    p = np.ones(pairs)
    differ = differences.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p[differ] = stats.ttest_1samp(differences[differ], 0.0, axis=1).pvalue if differ.any() else []
    return p


def randomisation(differences: Floats, seed: int = 0) -> Floats:
    """Two-sided p-values of the paired randomisation test of the mean, one a row: shape (pairs,).

    Under the null hypothesis a query's two systems could be exchanged, which flips its difference's sign (Smucker et al.,
    CIKM 2007). All flips are tried where there are at most RESAMPLES of them, else so many drawn ones; then p counts the
    observed one too and is never 0.
    """
    pairs, queries = differences.shape
    if not pairs or queries < 2:  # one query's two flips are equally extreme
        return np.ones(pairs)
    found: Any = stats.permutation_test(
        (differences,),
        lambda rows, axis: rows.mean(axis=axis),
        permutation_type="samples",
        n_resamples=RESAMPLES,
        batch=_batch(differences),
        axis=1,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return np.asarray(found.pvalue, np.float64)


def interval(values: Floats, seed: int = 0) -> Floats:
    """Bootstrap 95% intervals (percentiles) of each row's mean over queries: shape (rows, 2). NaN for fewer than two queries."""
    rows, queries = values.shape
    if not rows or queries < 2:
        return np.full((rows, 2), np.nan)
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_batch(values),
        axis=1,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return np.stack(found.confidence_interval, axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment for a family of tests (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - place)))
        adjusted[i] = largest
    return adjusted


def pairs_of(count: int) -> Iterator[tuple[int, int]]:
    """Every pair of systems, earlier against later."""
    return ((a, b) for a in range(count) for b in range(a + 1, count))


def _batch(values: Floats) -> int:
    return max(1, _VALUES_A_BATCH // max(values.size, 1))
