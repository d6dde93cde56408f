"""How good a run is: a thin layer over ir_measures, which leaves the numbers to trec_eval's own code.

Values are over all judged queries: one that a run lacks counts 0. Whatever a provider does with ties, it is given trec_eval's
order (score descending, ties by docid descending, see `firstrank.reranker.runs.trec`), as places; and numbers for qids, which some want.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.ids import hint, some
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Run

Measures = Sequence[str]
"""in ir_measures' words (`nDCG@10`, `RR(rel=2)@10`) or trec_eval's (`ndcg_cut_10`, `recip_rank`)"""

_log = logging.getLogger(__name__)


def relevance_cutoff(qrels: Qrels) -> int:
    """The lowest grade that counts as relevant where a measure knows only yes and no: 2 on TREC-DL's scale of 0 to 3, else 1."""
    return 2 if max(grade for grades in qrels.values() for grade in grades.values()) == 3 else 1


def default_measures(qrels: Qrels, relevant_from: int | None = None) -> Measures:
    """What a summary shows; the cutoff for binary relevance stands in the names."""
    rel = f"(rel={relevance_cutoff(qrels) if relevant_from is None else relevant_from})"
    return "nDCG@10", f"RR{rel}@10", f"AP{rel}", f"R{rel}@100"


def per_query(run: Run, qrels: Qrels, measures: Measures) -> dict[str, dict[str, float]]:
    """measure -> qid -> value, for each judged query; two spellings of one measure have the same values.

    Raises InputError for a measure that is not known or cannot be computed here, and for a run none of whose queries is judged.
    """
    check_meeting(run, qrels, run.name)
    names = defaultdict[str, list[str]](list)
    parsed = {}
    for name in measures:
        measure = _parse(name)
        parsed[str(measure)] = measure
        names[str(measure)].append(name)
    found = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    qids = list(qrels)
    numbers = {qid: str(number) for number, qid in enumerate(qids, 1)}
    judged = {numbers[qid]: grades for qid, grades in qrels.items()}
    for metric in _calculated(list(parsed.values()), judged, {numbers[qid]: places for qid, places in _places(run, qrels).items()}):
        for name in names[str(metric.measure)]:
            found[name][qids[int(metric.query_id) - 1]] = metric.value
    return found


def compare(runs: Mapping[str, Run], qrels: Qrels, measures: Measures | None = None) -> dict[str, dict[str, float]]:
    """measure -> label of a run -> mean over all judged queries, for the measures that can be computed here.

    Warns of judged queries that a run lacks. Raises what `per_query` raises for runs, and InputError where no measure is left.
    """
    measures = measurable(measures or default_measures(qrels), qrels)
    values = {label: per_query(run, qrels, measures) for label, run in runs.items()}
    told = set[tuple[str, ...]]()
    for label, run in runs.items():
        lacking = tuple(qid for qid in qrels if qid not in run)
        if lacking and lacking not in told:
            told.add(lacking)
            _log.warning("%s: lacks %d of the %d judged queries (%s); each counts 0", label, len(lacking), len(qrels), some(lacking))
    return {name: {label: _mean(found[name].values()) for label, found in values.items()} for name in measures}


def measurable(measures: Measures, qrels: Qrels) -> tuple[str, ...]:
    """Those of the measures that can be computed here, each once; warns of the others.

    Raises InputError for an unknown one, and where none is left.
    """
    kept, refused = [], []
    grades = next(iter(qrels.values()))
    for name in dict.fromkeys(measures):
        measure = _parse(name)
        try:
            _calculated([measure], {"1": grades}, {"1": dict.fromkeys(list(grades)[:1], 1.0)})
            kept.append(name)
        except InputError as error:
            refused.append(str(error))
    if not kept:
        raise InputError("; ".join(refused))
    for problem in refused:
        _log.warning("%s; left out", problem)
    return tuple(kept)


def check_meeting(qids: Collection[str], qrels: Qrels, name: str) -> None:
    """Raises InputError where none of a run's queries is judged: every measure would be 0."""
    if qids and not any(qid in qrels for qid in qids):
        first = list(qids)[:3]
        raise InputError(
            f"{name}: none of its {len(qids)} queries ({some(first, len(qids))}) is judged; the judgments are for {some(list(qrels))}"
            f"{hint(first, qrels)}: are they of the same collection?"
        )


def _parse(name: str) -> Any:
    import ir_measures

    try:
        measure = ir_measures.parse_measure(_spelled(name))
    except (NameError, ValueError, SyntaxError, TypeError) as error:
        measure = _of_trec_eval(name)
        if measure is None:
            problem = f"measure {name!r}: ir_measures does not know it ({error}); write nDCG@10, RR(rel=2)@10, AP, R@100 …"
            raise InputError(problem) from error
    return measure


def _spelled(name: str) -> str:
    """The name as ir_measures writes it, whatever its capitals."""
    import ir_measures

    base = re.match(r"\w+", name.strip())
    known = {one.lower(): one for one in ir_measures.measures.registry}
    return known.get(base[0].lower(), base[0]) + name.strip()[base.end() :] if base else name


def _of_trec_eval(name: str) -> Any:
    """The one measure that trec_eval calls so, or None."""
    import ir_measures

    try:
        found = ir_measures.parse_trec_measure(name)
    except (ValueError, KeyError):
        return None
    return found[0] if len(found) == 1 else None


def _calculated(measures: list[Any], qrels: Qrels, places: dict[str, dict[str, float]]) -> list[Any]:
    """ir_measures' values. Raises InputError for a measure that has an impossible cutoff, or lacks what computes it."""
    import ir_measures

    for measure in measures:
        cutoff = measure.params.get("cutoff", 1)
        if not isinstance(cutoff, int) or isinstance(cutoff, bool) or cutoff < 1:
            raise InputError(f"measure {measure}: its cutoff must be a whole number of 1 or more")
    try:
        return list(ir_measures.iter_calc(measures, qrels, places))
    except Exception as error:  # the providers raise whatever comes
        if len(measures) > 1:
            for measure in measures:
                _calculated([measure], qrels, places)
        raise InputError(f"measure {measures[0]}: cannot be computed: {' '.join(str(error).split())}") from error


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
