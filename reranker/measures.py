"""How good a run is: a thin layer over ir_measures, which leaves the numbers to trec_eval's own code.

Values are over all judged queries: one that a run lacks counts 0. Whatever a provider does with ties, it is given trec_eval's
order (score descending, ties by docid descending, see `firstrank.reranker.runs.trec`), as places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Run

Measures = Sequence[str]
"""in ir_measures' words: `nDCG@10`, `RR(rel=2)@10`"""


def relevance_cutoff(qrels: Qrels) -> int:
    """The lowest grade that counts as relevant where a measure knows only yes and no: 2 on TREC-DL's scale of 0 to 3, else 1."""
    return 2 if max(grade for grades in qrels.values() for grade in grades.values()) == 3 else 1


def default_measures(qrels: Qrels, relevant_from: int | None = None) -> Measures:
    """What a summary shows; the cutoff for binary relevance stands in the names."""
    rel = f"(rel={relevance_cutoff(qrels) if relevant_from is None else relevant_from})"
    return "nDCG@10", f"RR{rel}@10", f"AP{rel}", f"R{rel}@100"


def per_query(run: Run, qrels: Qrels, measures: Measures) -> dict[str, dict[str, float]]:
    """measure -> qid -> value, for each judged query. Raises InputError for a measure that ir_measures does not know."""
    import ir_measures

    parsed = {name: _parse(name) for name in measures}
    found = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    names = {str(measure): name for name, measure in parsed.items()}
    for metric in ir_measures.iter_calc(list(parsed.values()), qrels, _places(run, qrels)):
        found[names[str(metric.measure)]][metric.query_id] = metric.value
    return found


def compare(runs: Mapping[str, Run], qrels: Qrels, measures: Measures | None = None) -> dict[str, dict[str, float]]:
    """measure -> label of a run -> mean over all judged queries."""
    measures = measures or default_measures(qrels)
    values = {label: per_query(run, qrels, measures) for label, run in runs.items()}
    return {name: {label: _mean(found[name].values()) for label, found in values.items()} for name in measures}


def _parse(name: str) -> Any:
    import ir_measures

    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, SyntaxError) as error:
        raise InputError(f"measure {name!r}: ir_measures does not know it ({error}); write nDCG@10, RR(rel=2)@10, AP, R@100 …") from error


def _places(run: Run, qrels: Qrels) -> dict[str, dict[str, float]]:
    """qid -> docid -> score, the scores being places counted from the end."""
    return {
        qid: {docid: float(len(docids) - place) for place, docid in enumerate(docids)}
        for qid in qrels
        if qid in run and (docids := run[qid].docids)
    }


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
