"""Window scores and a final order -> one score a candidate.

A window's label logits are comparable among themselves only: another window has another prompt, and its logits another
level. Here each window is centred, the windows' levels are set by least squares over the candidates that they share, the
result is bent (isotonic regression) to agree with the order that the strategy settled on, and then made strictly
decreasing in float32, which is what trec_eval compares. Pure functions; numpy in, numpy out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.intp]
Real = TypeVar("Real", np.float32, np.float64)

_SMALLEST = np.float32(-80.0)  # its sigmoid still leaves room below in float32
_LEAST = np.float32(1e-30)  # leaves room below in float32
_A_HAIR = 1e-6
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def align(order: Sequence[int], windows: Sequence[tuple[Sequence[int], Sequence[float]]]) -> Floats32:
    """One score for each candidate of `order` (best first), strictly decreasing in float32, with mean about 0.

    `windows` holds (candidate indices, their scores) pairs, in any order. For one window that agrees with `order` the
    result is its scores less their mean. A candidate that no window held gets the score of the one before it, less a hair.
    """
    if not order:
        return np.empty(0, np.float32)
    place = {candidate: i for i, candidate in enumerate(order)}
    window = np.repeat(np.arange(len(windows)), [len(indices) for indices, _ in windows])
    places = np.array([place[candidate] for indices, _ in windows for candidate in indices], np.intp)
    values = np.array([value for _, window_values in windows for value in window_values], np.float64)
    fitted = _isotonic(_pooled(window, places, values, len(order)))
    return strictly_decreasing((fitted - fitted.mean()).astype(np.float32))


def relevance(raw: Floats32) -> Floats32:
    """The sigmoid of strictly decreasing scores: in (0, 1), strictly decreasing in float32."""
    from scipy.special import expit

    squeezed: Floats32 = expit(np.maximum(raw, _SMALLEST))
    return strictly_decreasing(np.minimum(squeezed, _BELOW_ONE))


def falling(probabilities: Floats) -> tuple[Floats32, int]:
    """Probabilities in the order of a ranking -> the closest that fall with rank, strictly and in (0, 1); and how many places that moved.

    Where a passage is more probable than one before it, both get their mean (isotonic regression); a hair then parts equal ones.
    """
    if not len(probabilities):
        return np.empty(0, np.float32), 0
    fitted = _isotonic(probabilities)
    moved = int(np.count_nonzero(np.abs(fitted - probabilities) > _A_HAIR))
    return strictly_decreasing(np.clip(fitted.astype(np.float32), _LEAST, _BELOW_ONE)), moved


def strictly_decreasing(values: NDArray[Real]) -> NDArray[Real]:
    """`values`, each lowered no more than it takes to lie below the one before it, in their own type.

    The numbers of a type are counted through in order as integers, so "the next one below" is less 1, and a running minimum does it.
    """
    whole = np.dtype(f"i{values.dtype.itemsize}")
    bits, sign = values.view(whole).astype(np.int64), np.int64(np.iinfo(whole).min)
    rank = np.where(bits < 0, sign - bits, bits)
    place = np.arange(len(rank))
    lowered = np.minimum.accumulate(rank + place) - place
    below = np.where(lowered < 0, sign - lowered, lowered).astype(whole).view(values.dtype)
    return np.where(lowered == rank, values, below)


def _pooled(window: Indices, place: Indices, value: Floats, n: int) -> Floats:
    """Mean of each place's centred window scores, after least squares has set the windows' levels; NaN where unseen.

    Minimises, over levels o and scores s, the sum of (v + o_window - s_place)^2. With s eliminated (a place's s is the
    mean over its windows), what is left are the normal equations of a graph Laplacian; lstsq takes the solution of
    least norm, so windows that share nothing with the others keep their mean at 0.
    """
    sizes = np.bincount(window)
    centred = value - (np.bincount(window, value) / sizes)[window]
    seen = np.bincount(place, minlength=n)
    share = 1.0 / np.maximum(seen, 1)
    mean = np.bincount(place, centred, n) * share
    if len(sizes) > 1:
        member = np.zeros((len(sizes), n))
        member[window, place] = 1.0
        laplacian = np.diag(sizes) - (member * share) @ member.T
        levels = np.linalg.lstsq(laplacian, np.bincount(window, mean[place]), rcond=None)[0]
        mean += np.bincount(place, levels[window], n) * share
    mean[seen == 0] = np.nan
    return mean


def _isotonic(scores: Floats) -> Floats:
    """The closest non-increasing sequence; unseen (NaN) places take their predecessor's value."""
    from scipy.optimize import isotonic_regression

    seen = ~np.isnan(scores)
    if not seen.any():
        return np.zeros(len(scores))
    fitted = isotonic_regression(scores[seen], increasing=False).x
    unseen_as_before: Floats = fitted[np.maximum(np.cumsum(seen) - 1, 0)]
    return unseen_as_before
