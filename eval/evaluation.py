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
from firstrank.eval.significance import Floats, holm, interval, paired_t, pairs_of, randomisation
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
    t_holm: float
    randomisation: float
    randomisation_holm: float
    wins: int
    ties: int
    losses: int

    @property
    def significant(self) -> bool:
        """By the randomisation test, corrected for all pairs compared."""
        return self.randomisation_holm < ALPHA


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a report shows. `values[measure]` has shape (systems, queries), in the order of `systems` and `qids`."""

    dataset: Dataset
    measures: tuple[str, ...]
    systems: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]
    values: Mapping[str, Floats]
    seed: int

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


def measures_of(dataset: Dataset) -> tuple[str, ...]:
    """What a report shows unless told otherwise; the cutoff for binary relevance is the dataset's, and stands in the names."""
    rel = f"(rel={relevance_cutoff(dataset.qrels)})"
    return (*default_measures(dataset.qrels), f"P{rel}@1", "Judged@10")


def evaluate(dataset: Dataset, systems: Sequence[System], measures: Sequence[str] | None = None, seed: int = 0) -> Evaluation:
    """Measures and compares systems over all judged queries; one that a run lacks counts 0.

    `seed` is for the bootstrap and the randomisation test. Raises InputError for two systems of one name and for a measure
    that ir_measures does not know.
    """
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise InputError(f"two systems have the same name: {', '.join(names)}")
    measures = measurable(measures or measures_of(dataset), dataset.qrels)
    values = _values(dataset, systems, measures)
    intervals = {measure: interval(values[measure], seed) for measure in measures}
    found = tuple(_measured(dataset, system, place, values, intervals) for place, system in enumerate(systems))
    compared = [one for measure in measures if not measure.startswith("Judged") for one in _compare(measure, names, values[measure], seed)]
    return Evaluation(dataset, measures, found, tuple(compared), values, seed)


def _values(dataset: Dataset, systems: Sequence[System], measures: Sequence[str]) -> dict[str, Floats]:
    found = [per_query(system.run, dataset.qrels, measures) for system in systems]
    return {measure: np.array([[one[measure][qid] for qid in dataset.qrels] for one in found], np.float64) for measure in measures}


def _measured(dataset: Dataset, system: System, place: int, values: Mapping[str, Floats], intervals: Mapping[str, Floats]) -> Measured:
    estimates = {name: Estimate(float(of[place].mean()), *map(float, intervals[name][place])) for name, of in values.items()}
    missing = tuple(qid for qid in dataset.qrels if qid not in system.run)
    latency = latency_of(system.traces) if system.traces else None
    return Measured(system, estimates, missing, latency, responses_of(system.traces))


def _compare(measure: str, names: Sequence[str], values: Floats, seed: int) -> list[Comparison]:
    """Every pair on one measure; the family of Holm's correction is these pairs."""
    pairs = list(pairs_of(len(names)))
    if not pairs:
        return []
    differences = np.array([values[b] - values[a] for a, b in pairs])
    differences[np.abs(differences) < _EQUAL] = 0.0
    intervals = interval(differences, seed)
    t, drawn = paired_t(differences).tolist(), randomisation(differences, seed).tolist()
    t_holm, drawn_holm = (holm([1.0 if math.isnan(p) else p for p in family]) for family in (t, drawn))
    return [
        Comparison(
            measure,
            names[a],
            names[b],
            Estimate(float(differences[i].mean()), *map(float, intervals[i])),
            t[i],
            t_holm[i],
            drawn[i],
            drawn_holm[i],
            wins=int((differences[i] > 0).sum()),
            ties=int((differences[i] == 0).sum()),
            losses=int((differences[i] < 0).sum()),
        )
        for i, (a, b) in enumerate(pairs)
    ]
