"""Judged evidence -> a calibration: logistic regression (Platt 1999), or an isotonic map over it, whichever predicts better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.calibration import quality
from firstrank.reranker.calibration.calibration import NOTHING, Calibration, Holds, Set
from firstrank.reranker.calibration.maps import MODEL, Evidence, Floats, Map, strongest
from firstrank.reranker.errors import InputError

_FOLDS = 5
_RIDGE = 1e-4
"""on weights of evidence with deviation 1, against a mean loss"""
_EDGE = 1e-4
"""no isotonic step says less, or more than 1 less this: a few hundred queries do not show more"""
_TOP = 10
_KEPT = 0.95


@dataclass(frozen=True, slots=True)
class Judged:
    """The candidates of one data set's queries: arrays of one length, a place a candidate."""

    name: str
    relevant_from: int
    query: NDArray[np.intp]
    relevant: NDArray[np.bool_]
    read: NDArray[np.bool_]
    """whether the model has read it; `evidence["model"]` means nothing where it has not"""
    evidence: Evidence

    def where(self, places: NDArray[np.bool_]) -> Judged:
        evidence = {name: column[places] for name, column in self.evidence.items()}
        return Judged(self.name, self.relevant_from, self.query[places], self.relevant[places], self.read[places], evidence)

    @property
    def queries(self) -> int:
        return len(np.unique(self.query))


def fit(sets: Sequence[Judged], holds: Holds) -> Calibration:
    """The calibration of a model. Each query has the same say, however many candidates it has.

    Raises InputError where nothing is relevant, or everything is.
    """
    cheap = tuple(name for name in sets[0].evidence if name != MODEL)
    has_read = any(one.read.any() for one in sets)
    read = _map([one.where(one.read) for one in sets], (*cheap, MODEL)) if has_read else None
    unread = _map(sets, cheap) if cheap else None
    nothing = _nothing(sets, read, unread)
    unchecked = Calibration(holds=holds, read=read, unread=unread, nothing=nothing, cut=0)
    told = _held_out(sets, cheap)
    return unchecked.model_copy(update={"cut": _cut(sets, unchecked), "fitted_on": tuple(told)})


def said(one: Judged, read: Map | None, unread: Map | None) -> tuple[Floats, Floats]:
    """Each candidate's probability, and its log odds."""
    probability, odds = np.full(len(one.query), np.nan), np.full(len(one.query), np.nan)
    was_read = one.read & (read is not None)
    for chosen, places in ((read, was_read), (unread, ~was_read)):
        if chosen is not None and places.any():
            here = one.where(places).evidence
            probability[places], odds[places] = chosen(here), chosen.log_odds(here)
    return probability, odds


def without_relevant(one: Judged) -> Judged:
    """The same queries, with their relevant candidates taken away; a query of which nothing is left is left out."""
    return one.where(~one.relevant)


def strongest_of_each(one: Judged, odds: Floats) -> Floats:
    """[queries]: the log odds of each query's best candidates together."""
    return np.array([strongest(odds[one.query == query]) for query in np.unique(one.query)])


def _map(sets: Sequence[Judged], names: Sequence[str]) -> Map:
    """The form that has the lower loss on queries that it has not seen, fitted to all."""
    x, y, weight, fold = _pooled(sets, names)
    if not y.any() or y.all():
        raise InputError("nothing to fit: " + ("every candidate is relevant" if y.all() else "no candidate is relevant"))
    forms: tuple[Callable[..., Map], ...] = (_logistic, _stepped)
    losses = [_loss(form, x, y, weight, fold, names) for form in forms]
    return forms[int(np.argmin(losses))](x, y, weight, names)


def _loss(form: Callable[..., Map], x: Floats, y: NDArray[np.bool_], weight: Floats, fold: NDArray[np.intp], names: Sequence[str]) -> float:
    found = np.empty(len(y))
    for out in np.unique(fold):
        away = fold == out
        found[away] = form(x[~away], y[~away], weight[~away], names)(dict(zip(names, x[away].T, strict=True)))
    return quality.log_loss(found, y, weight)


def _pooled(sets: Sequence[Judged], names: Sequence[str]) -> tuple[Floats, NDArray[np.bool_], Floats, NDArray[np.intp]]:
    """[all candidates, evidence], what is relevant, the weight of each, and the fold of its query."""
    some = [one for one in sets if len(one.query)]
    x = np.concatenate([np.stack([one.evidence[name] for name in names], 1) for one in some])
    y = np.concatenate([one.relevant for one in some])
    weight = np.concatenate([1 / np.bincount(one.query)[one.query] for one in some])
    fold = np.concatenate([one.query % _FOLDS for one in some])
    return x, y, weight, fold


def _logistic(x: Floats, y: NDArray[np.bool_], weight: Floats, names: Sequence[str]) -> Map:
    """More evidence is never a lower probability: no weight is below 0."""
    from scipy.optimize import minimize

    weight = weight / weight.sum()
    middle = weight @ x
    spread = np.sqrt(weight @ (x - middle) ** 2)
    spread[spread == 0] = 1
    design = np.column_stack([np.ones(len(x)), (x - middle) / spread])

    def loss(w: Floats) -> tuple[float, Floats]:
        odds = design @ w
        value = float(weight @ (np.logaddexp(0, odds) - y * odds)) + _RIDGE * float(w[1:] @ w[1:])
        gradient = design.T @ (weight * (1 / (1 + np.exp(-odds)) - y))
        gradient[1:] += 2 * _RIDGE * w[1:]
        return value, gradient

    rising = [(None, None), *[(0, None)] * x.shape[1]]
    found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", bounds=rising).x
    slopes = found[1:] / spread
    weights = {name: round(float(slope), 6) for name, slope in zip(names, slopes, strict=True)}
    return Map(intercept=round(float(found[0] - slopes @ middle), 6), weights=weights)


def _stepped(x: Floats, y: NDArray[np.bool_], weight: Floats, names: Sequence[str]) -> Map:
    """An isotonic map of the logistic regression's log odds; a block of equal values is told by its two ends."""
    from scipy.optimize import isotonic_regression

    line = _logistic(x, y, weight, names)
    odds = line.log_odds(dict(zip(names, x.T, strict=True)))
    order = np.argsort(odds, kind="stable")
    found = isotonic_regression(y[order].astype(float), weights=weight[order])
    ends = [(start, stop - 1) for start, stop in zip(found.blocks[:-1], found.blocks[1:], strict=True)]
    points = {round(float(odds[order[i]]), 4): float(found.x[start].clip(_EDGE, 1 - _EDGE)) for start, end in ends for i in (start, end)}
    return line.model_copy(update={"steps": tuple((x, round(p, 6)) for x, p in sorted(points.items()))})


def _nothing(sets: Sequence[Judged], read: Map | None, unread: Map | None) -> Map:
    """From queries with their relevant candidates and the same without: as many of the one kind as of the other."""
    best, empty, weight = [], [], []
    for one in sets:
        answered = one.where(np.isin(one.query, np.unique(one.query[one.relevant])))
        for some, is_empty in ((answered, False), (without_relevant(answered), True)):
            if len(some.query):
                found = strongest_of_each(some, said(some, read, unread)[1])
                best.append(found)
                empty.append(np.full(len(found), is_empty))
                weight.append(np.ones(len(found)))
    if not best or np.concatenate(empty).all() or not np.concatenate(empty).any():
        raise InputError("nothing to fit: no query has both relevant candidates and others")
    something = _logistic(np.concatenate(best)[:, None], ~np.concatenate(empty), np.concatenate(weight), (NOTHING,))
    return Map(intercept=-something.intercept, weights={NOTHING: -something.weights[NOTHING]})


def _held_out(sets: Sequence[Judged], cheap: Sequence[str]) -> list[Set]:
    """How well maps hold that were fitted on the other queries."""
    probability = [np.full(len(one.query), np.nan) for one in sets]
    for out in range(_FOLDS):
        rest = [one.where(one.query % _FOLDS != out) for one in sets]
        read = _map([one.where(one.read) for one in rest], (*cheap, MODEL)) if any(one.read.any() for one in rest) else None
        unread = _map(rest, cheap) if cheap else None
        for values, one in zip(probability, sets, strict=True):
            away = one.query % _FOLDS == out
            values[away] = said(one.where(away), read, unread)[0]
    return [
        Set(
            name=one.name,
            relevant_from=one.relevant_from,
            queries=one.queries,
            passages=len(one.query),
            relevant=round(float(one.relevant.mean()), 4),
            ece=round(quality.ece(values, one.relevant), 4),
            brier=round(quality.brier(values, one.relevant), 4),
            bins=tuple(quality.Bin(*(round(number, 4) for number in part)) for part in quality.bins(values, one.relevant)),
        )
        for one, values in zip(sets, probability, strict=True)
    ]


def _cut(sets: Sequence[Judged], calibration: Calibration) -> float:
    """What, in every set, 95% of the relevant candidates among each query's best 10 reach."""
    found = []
    for one in sets:
        probability, _ = said(one, calibration.read, calibration.unread)
        best = in_the_best(one, probability, _TOP) & one.relevant
        if best.any():
            found.append(quality.cut_keeping(_KEPT, probability[best]))
    return math.floor(min(found, default=0.0) * 1e4) / 1e4


def in_the_best(one: Judged, probability: Floats, n: int) -> NDArray[np.bool_]:
    """Which candidates are among their query's best n."""
    found = np.zeros(len(one.query), bool)
    for query in np.unique(one.query):
        [places] = np.nonzero(one.query == query)
        found[places[np.argsort(-probability[places], kind="stable")[:n]]] = True
    return found
