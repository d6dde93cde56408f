"""How good a calibrated system's probabilities are on a test collection: from traces, which hold them (`firstrank rerank --trace`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from firstrank.eval.costs import TraceObject
from firstrank.reranker.calibration import quality
from firstrank.reranker.runs.qrels import Qrels

TOP = 10
"""ranks of a query in which is counted what a cut keeps and drops"""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut by probability does to each query's best 10; a share is None where there is nothing that it is a share of."""

    probability: float
    relevant: int
    """candidates among the best 10"""
    kept: float | None
    """the share of them that reach the cut"""
    others: int
    dropped: float | None
    """the share of the others that do not"""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Over the reranked candidates of the judged queries, each of which counts the same. One without a judgment is not relevant."""

    relevant_from: int
    """the grade from which a candidate is relevant"""
    queries: int
    candidates: int
    relevant: float
    """the share of the candidates that are"""
    ece: float
    brier: float
    auroc: float | None
    """of relevant against not, across queries; None without both"""
    bins: tuple[quality.Bin, ...]
    """the reliability diagram"""
    without_relevant: int
    """queries that have no relevant candidate"""
    nothing_relevant_auroc: float | None
    """how well `nothing_relevant` tells these queries from the others; None without both"""
    cut: Cut | None
    """the calibration's own; None where it is not known"""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"bins": [one._asdict() for one in self.bins]}


def reliability_of(traces: Iterable[TraceObject], qrels: Qrels, relevant_from: int, cut: float | None = None) -> Reliability | None:
    """Sums up the traces that hold probabilities; None where none does, for the model was not calibrated."""
    told = [trace for trace in traces if trace.get("calibrated") and trace.get("probabilities")]
    if not told:
        return None
    lists: list[Mapping[str, float]] = [trace["probabilities"] for trace in told]
    truths = [_relevant(trace["qid"], trace["probabilities"], qrels, relevant_from) for trace in told]
    p, y = np.array([*chain.from_iterable(one.values() for one in lists)], np.float64), np.concatenate(truths)
    empty = np.array([not one.any() for one in truths])
    return Reliability(
        relevant_from=relevant_from,
        queries=len(told),
        candidates=len(p),
        relevant=float(y.mean()),
        ece=quality.ece(p, y),
        brier=quality.brier(p, y),
        auroc=quality.auroc(p, y),
        bins=tuple(quality.bins(p, y)),
        without_relevant=int(empty.sum()),
        nothing_relevant_auroc=quality.auroc(np.array([trace["nothing_relevant"] for trace in told], np.float64), empty),
        cut=None if cut is None else _cut(cut, lists, truths),
    )


def _relevant(qid: str, docids: Iterable[str], qrels: Qrels, relevant_from: int) -> quality.Truths:
    grades = qrels.get(qid, {})
    return np.array([grades.get(docid, 0) >= relevant_from for docid in docids], bool)


def _cut(cut: float, lists: Iterable[Mapping[str, float]], truths: Iterable[quality.Truths]) -> Cut:
    p, y = [], []
    for probabilities, truth in zip(lists, truths, strict=True):
        values = np.array([*probabilities.values()], np.float64)
        best = np.argsort(-values, kind="stable")[:TOP]
        p.append(values[best])
        y.append(truth[best])
    reached, relevant = np.concatenate(p) >= cut, np.concatenate(y)
    return Cut(cut, int(relevant.sum()), _share(reached[relevant]), int((~relevant).sum()), _share(~reached[~relevant]))


def _share(which: quality.Truths) -> float | None:
    return float(which.mean()) if len(which) else None
