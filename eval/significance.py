"""Whether two systems differ: paired tests over queries, intervals, and corrections for many tests.

Arrays are (rows, queries): a row is a system's values, or the differences of a pair of systems. Draws are seeded, and shared by all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

RESAMPLES = 9999
LEVEL = 0.95
_VALUES_A_BATCH = 1 << 22
_DRAWS_A_PAIR = 200
_FEW_FLIPS = 1 << 16
"""17 queries"""


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


def draws_for(pairs: int) -> int:
    """How many sign flips are drawn for a family of so many pairs: enough for the smallest p, times the pairs, to lie well below 0.05."""
    return max(RESAMPLES, _DRAWS_A_PAIR * pairs - 1)


def is_exact(queries: int, draws: int = RESAMPLES) -> bool:
    """Whether all flips of so many queries are tried: where they are no more than would be drawn, or few anyway."""
    return 1 << (queries - 1) <= max(draws, _FEW_FLIPS)


def randomisation(differences: Floats, seed: int = 0, draws: int | None = None) -> Floats:
    """Two-sided p-values of the paired randomisation test of the mean, one a row: shape (pairs,).

    Under the null hypothesis a query's two systems could be exchanged, which flips its difference's sign (Smucker et al.,
    CIKM 2007). All flips are tried where they are few (`is_exact`); else `draws` of them, as many as the rows need, the same for all
    rows; then p counts the observed one too and is never 0.
    """
    pairs, queries = differences.shape
    if not pairs or queries < 2:  # one query's two flips are equally extreme
        return np.ones(pairs)
    draws = draws_for(pairs) if draws is None else draws
    exact = is_exact(queries, draws)
    observed = np.abs(differences.sum(axis=1))
    observed -= 1e-12 * (1.0 + np.abs(differences).sum(axis=1))  # sums in another order differ by a hair
    extreme, tried = np.zeros(pairs), 0
    for signs in _all_signs(queries, pairs) if exact else _drawn_signs(queries, pairs, draws, seed):
        extreme += (np.abs(signs @ differences.T) >= observed).sum(axis=0)
        tried += len(signs)
    return extreme / tried if exact else (extreme + 1.0) / (tried + 1.0)


def _all_signs(queries: int, pairs: int) -> Iterator[Floats]:
    """Half of all flips, [some, queries]: the other half are their opposites, and as extreme."""
    count = 2 ** (queries - 1)
    step = max(1, _VALUES_A_BATCH // max(pairs, queries))
    for start in range(0, count, step):
        numbers = np.arange(start, min(start + step, count))[:, None]
        yield (1.0 - 2.0 * ((numbers >> np.arange(queries)) & 1)).astype(np.float64)


def _drawn_signs(queries: int, pairs: int, draws: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    step = max(1, _VALUES_A_BATCH // max(pairs, queries))
    for start in range(0, draws, step):
        yield (1.0 - 2.0 * rng.integers(0, 2, (min(step, draws - start), queries))).astype(np.float64)


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


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Each p times the number of tests."""
    return [min(1.0, p * len(p_values)) for p in p_values]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """For the share of false ones among the findings, not for any at all (Journal of the Royal Statistical Society B 57, 1995)."""
    return [float(p) for p in stats.false_discovery_control(p_values, method="bh")] if p_values else []


CORRECTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "bonferroni": bonferroni,
    "bh": benjamini_hochberg,
    "none": list,
}
"""how a family's p-values are adjusted, by name"""

CORRECTION_NAMES = {
    "holm": "Holm's correction",
    "bonferroni": "Bonferroni's correction",
    "bh": "Benjamini and Hochberg's correction",
    "none": "no correction",
}


def pairs_of(count: int) -> Iterator[tuple[int, int]]:
    """Every pair of systems, earlier against later."""
    return ((a, b) for a in range(count) for b in range(a + 1, count))


def _batch(values: Floats) -> int:
    return max(1, _VALUES_A_BATCH // max(values.size, 1))
