"""Systems side by side: each measure's mean with its interval, every pair's difference with its tests, and what each query cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstrank.eval.answers import Responses, responses_of
from firstrank.eval.costs import Latency, TraceObject, latency_of
from firstrank.eval.datasets import Dataset
from firstrank.eval.reliability import Reliability, reliability_of
from firstrank.eval.significance import (
    CORRECTION_NAMES,
    CORRECTIONS,
    Floats,
    draws_for,
    interval,
    is_exact,
    paired_t,
    pairs_of,
    randomisation,
)
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import default_measures, measurable, per_query, relevance_cutoff
from firstrank.reranker.runs.trec import Run

ALPHA = 0.05
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class System:
    """A run to be measured; with traces, what it cost."""

    name: str
    run: Run
    traces: Sequence[TraceObject] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    unjudged: tuple[str, ...] = ()
    """queries of its run that nobody judged: they do not count"""
    cut: float | None = None
    """the probability at which its calibration would cut"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries with its bootstrap 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found of one system."""

    system: System
    estimates: Mapping[str, Estimate]
    missing: tuple[str, ...]
    """judged queries that its run lacks"""
    latency: Latency | None
    responses: Responses | None
    reliability: Reliability | None
    """of its probabilities; None where the model is not calibrated"""

    @property
    def name(self) -> str:
        return self.system.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """`b` against `a` on one measure: the mean difference b - a, its tests, and on how many queries b wins."""

    measure: str
    a: str
    b: str
    difference: Estimate
    t: float
    t_adjusted: float
    randomisation: float
    randomisation_adjusted: float
    wins: int
    ties: int
    losses: int

    @property
    def significant(self) -> bool:
        """By the randomisation test, corrected for the family."""
        return self.randomisation_adjusted < ALPHA


@dataclass(frozen=True, slots=True)
class Method:
    """How systems are compared."""

    baseline: str | None = None
    """the one system that the others are compared with; None: every pair"""
    correction: str = "holm"
    relevant_from: int | None = None
    """the lowest grade that counts as relevant where a measure knows only yes and no; None: by the collection's grades"""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise InputError(f"correction {self.correction!r}: unknown; there are {', '.join(CORRECTIONS)}")

    def cutoff(self, dataset: Dataset) -> int:
        """The lowest grade that counts as relevant."""
        return relevance_cutoff(dataset.qrels) if self.relevant_from is None else self.relevant_from


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a report shows. `values[measure]` has shape (systems, queries), in the order of `systems` and `qids`."""

    dataset: Dataset
    measures: tuple[str, ...]
    systems: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]
    values: Mapping[str, Floats]
    method: Method

    @property
    def seed(self) -> int:
        return self.method.seed

    @property
    def relevant_from(self) -> int:
        """The cutoff of the measures that are shown unless others are asked for."""
        return self.method.cutoff(self.dataset)

    @property
    def tested(self) -> str:
        """Which test and which family a significant difference is by."""
        pairs, queries = len(pairs_of_systems([one.name for one in self.systems], self.method.baseline)), len(self.qids)
        if not pairs:
            return "no test: there is one system"
        draws = draws_for(pairs)
        how = f"all {2**queries:,} sign flips" if is_exact(queries, draws) else f"{draws:,} drawn sign flips"
        against = f"each system against {self.method.baseline}" if self.method.baseline else f"all pairs of {len(self.systems)} systems"
        count = f"{pairs} comparison{'s' if pairs > 1 else ''}"
        corrected = f"{CORRECTION_NAMES[self.method.correction]} over {count}"
        return f"paired randomisation test, {how}; p < {ALPHA} after {corrected}: {against}, each measure by itself"

    @property
    def notes(self) -> list[str]:
        """Queries that do not meet, system by system."""
        found = []
        for one in self.systems:
            if one.missing:
                found.append(f"{one.name} lacks {len(one.missing)} of {len(self.qids)} judged queries, each counts 0: {some(one.missing)}")
            if one.system.unjudged:
                unjudged = one.system.unjudged
                found.append(f"{one.name} has {len(unjudged)} queries that are not judged and do not count: {some(unjudged)}")
        return found

    @property
    def qids(self) -> list[str]:
        return list(self.dataset.qrels)

    @property
    def primary(self) -> str:
        return self.measures[0]

    def better_than(self, place: int, measure: str) -> list[int]:
        """Places of the systems that system `place` significantly beats on a measure."""
        name = self.systems[place].name
        places = {system.name: i for i, system in enumerate(self.systems)}
        found = []
        for one in self.comparisons:
            if one.measure == measure and one.significant and name in (one.a, one.b):
                winner, loser = (one.b, one.a) if one.difference.mean > 0 else (one.a, one.b)
                found += [places[loser]] if winner == name else []
        return sorted(found)


def some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")


def measures_of(dataset: Dataset, relevant_from: int | None = None) -> tuple[str, ...]:
    """What a report shows unless told otherwise; the cutoff for binary relevance is the dataset's, and stands in the names."""
    cutoff = relevance_cutoff(dataset.qrels) if relevant_from is None else relevant_from
    return (*default_measures(dataset.qrels, cutoff), f"P(rel={cutoff})@1", "Judged@10")


def pairs_of_systems(names: Sequence[str], baseline: str | None) -> list[tuple[int, int]]:
    """Which systems are compared, by their places: every pair, or each with the baseline."""
    if baseline is None:
        return list(pairs_of(len(names)))
    first = names.index(baseline)
    return [(first, place) for place in range(len(names)) if place != first]


def evaluate(dataset: Dataset, systems: Sequence[System], measures: Sequence[str] | None = None, method: Method = Method()) -> Evaluation:
    """Measures and compares systems over all judged queries; one that a run lacks counts 0.

    The method's seed is for the bootstrap and the randomisation test. Raises InputError for two systems of one name, for a baseline
    that is none of them, and for a measure that ir_measures does not know.
    """
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise InputError(f"two systems have the same name: {', '.join(names)}")
    if method.baseline is not None and method.baseline not in names:
        raise InputError(f"--baseline {method.baseline}: none of the systems; they are {', '.join(names)}")
    measures = measurable(measures or measures_of(dataset, method.relevant_from), dataset.qrels)
    values = _values(dataset, systems, measures)
    intervals = {measure: interval(values[measure], method.seed) for measure in measures}
    cutoff = method.cutoff(dataset)
    found = tuple(_measured(dataset, system, place, values, intervals, cutoff) for place, system in enumerate(systems))
    compared = [
        one for measure in measures if not measure.startswith("Judged") for one in _compare(measure, names, values[measure], method)
    ]
    return Evaluation(dataset, measures, found, tuple(compared), values, method)


def _values(dataset: Dataset, systems: Sequence[System], measures: Sequence[str]) -> dict[str, Floats]:
    found = [per_query(system.run, dataset.qrels, measures) for system in systems]
    return {measure: np.array([[one[measure][qid] for qid in dataset.qrels] for one in found], np.float64) for measure in measures}


def _measured(
    dataset: Dataset, system: System, place: int, values: Mapping[str, Floats], intervals: Mapping[str, Floats], cutoff: int
) -> Measured:
    estimates = {name: Estimate(float(of[place].mean()), *map(float, intervals[name][place])) for name, of in values.items()}
    missing = tuple(qid for qid in dataset.qrels if qid not in system.run)
    latency = latency_of(system.traces) if system.traces else None
    reliability = reliability_of(system.traces, dataset.qrels, cutoff, system.cut)
    return Measured(system, estimates, missing, latency, responses_of(system.traces), reliability)


def _compare(measure: str, names: Sequence[str], values: Floats, method: Method) -> list[Comparison]:
    """The pairs on one measure; they are the family of the correction."""
    pairs, seed = pairs_of_systems(names, method.baseline), method.seed
    if not pairs:
        return []
    differences = np.array([values[b] - values[a] for a, b in pairs])
    differences[np.abs(differences) < _EQUAL] = 0.0
    intervals = interval(differences, seed)
    t, drawn = paired_t(differences).tolist(), randomisation(differences, seed).tolist()
    adjusted = CORRECTIONS[method.correction]
    t_adjusted, drawn_adjusted = (adjusted([1.0 if math.isnan(p) else p for p in family]) for family in (t, drawn))
    return [
        Comparison(
            measure,
            names[a],
            names[b],
            Estimate(float(differences[i].mean()), *map(float, intervals[i])),
            t[i],
            t_adjusted[i],
            drawn[i],
            drawn_adjusted[i],
            wins=int((differences[i] > 0).sum()),
            ties=int((differences[i] == 0).sum()),
            losses=int((differences[i] < 0).sum()),
        )
        for i, (a, b) in enumerate(pairs)
    ]
