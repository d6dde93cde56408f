"""How good probabilities are: calibration error, Brier score, log loss, and how well they part relevant from irrelevant.

`p` are probabilities, `y` is whether each came true, `weight` how much each counts (by default all the same). Arrays of one length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]
BINS = 10


class Bin(NamedTuple):
    """Passages of about the same probability."""

    share: float
    """of all passages, by weight"""
    probability: float
    """what was said of them, in the mean"""
    relevant: float
    """what came true"""


def bins(p: Floats, y: Truths, weight: Floats | None = None, n: int = BINS) -> list[Bin]:
    """The reliability diagram: n equally wide bins, without those that hold nothing."""
    weight = np.ones(len(p)) if weight is None else weight
    place = np.minimum((p * n).astype(int), n - 1)
    total, said, true = (np.bincount(place, part, n) for part in (weight, weight * p, weight * y))
    return [Bin(float(t / total.sum()), float(s / t), float(r / t)) for t, s, r in zip(total, said, true, strict=True) if t > 0]


def ece(p: Floats, y: Truths, weight: Floats | None = None) -> float:
    """The expected calibration error: how far what was said is from what came true, over the bins."""
    return sum(one.share * abs(one.probability - one.relevant) for one in bins(p, y, weight))


def brier(p: Floats, y: Truths, weight: Floats | None = None) -> float:
    """The mean squared distance of a probability from what came true."""
    return float(np.average((p - y) ** 2, weights=weight))


def log_loss(p: Floats, y: Truths, weight: Floats | None = None) -> float:
    """In nats."""
    return float(np.average(-np.log(np.where(y, p, 1 - p).clip(1e-12)), weights=weight))


def auroc(values: Floats, y: Truths) -> float | None:
    """The chance that a relevant one has a higher value than an irrelevant one; None without both."""
    from scipy.stats import rankdata

    ones = int(y.sum())
    if not 0 < ones < len(y):
        return None
    rank_sum = rankdata(values)[y].sum()
    return float((rank_sum - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def auroc_within(values: Floats, y: Truths, query: NDArray[np.intp]) -> float | None:
    """The mean of the queries' own AUROCs; None where no query has both."""
    found = [one for one in _each(values, y, query) if one is not None]
    return float(np.mean(found)) if found else None


def _each(values: Floats, y: Truths, query: NDArray[np.intp]) -> Iterator[float | None]:
    for one in np.unique(query):
        yield auroc(values[query == one], y[query == one])


def cut_keeping(share: float, p: Floats) -> float:
    """The highest probability that at least this share of `p` reaches."""
    ordered = np.sort(p)[::-1]
    return float(ordered[max(int(np.ceil(share * len(ordered))) - 1, 0)])
