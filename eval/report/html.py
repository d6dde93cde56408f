"""The report as one HTML file that needs nothing else: no network, no fonts, no scripts from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.eval.evaluation import ALPHA, Evaluation
from firstrank.eval.report.svg import Point, effectiveness_against_latency, reliability_diagram, sorted_bars
from firstrank.eval.report.tables import PROBABILITIES, letter, share
from firstrank.eval.significance import RESAMPLES

DEPTH = 10
"""ranks of a query that the page shows"""
_QUERIES, _ROWS = 100, 200
_CHARACTERS = 320


def render(template: str, **context: Any) -> str:
    """A page of `eval/report/templates`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(letter=letter, share=share, seconds=seconds, p_value=p_value)
    return environment.get_template(template).render(**context)


def report_page(evaluation: Evaluation, facts: Mapping[str, Any], *, passages: bool = True) -> str:
    """The whole report of an evaluation; without `passages` the corpus is not read, and single queries show docids."""
    systems, primary = evaluation.systems, evaluation.primary
    points = [
        Point(one.name, one.latency.p50 if one.latency and one.latency.alone else None, one.estimates[primary].mean) for one in systems
    ]
    return render(
        "report.html.j2",
        title=f"{evaluation.dataset.name}: {len(systems)} systems",
        evaluation=evaluation,
        facts=facts,
        judgments=sum(map(len, evaluation.dataset.qrels.values())),
        cutoff=evaluation.relevant_from,
        resamples=RESAMPLES,
        alpha=ALPHA,
        best={name: max(one.estimates[name].mean for one in systems) for name in evaluation.measures},
        compared=list(dict.fromkeys(one.measure for one in evaluation.comparisons)),
        picture=effectiveness_against_latency(points),
        generating=[one for one in systems if one.responses],
        calibrated=[(one, reliability_diagram(one.reliability.bins)) for one in systems if one.reliability],
        about_probabilities=PROBABILITIES,
        bars=_bars(evaluation),
        rows=_rows(evaluation),
        single=_single(evaluation, passages),
    )


def seconds(number: float) -> str:
    """Three significant digits."""
    return f"{number:.3g}"


def p_value(p: float) -> str:
    return "—" if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _bars(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A chart a system, against the first."""
    first, *others = evaluation.values[evaluation.primary]
    charts = []
    for system, values in zip(evaluation.systems[1:], others, strict=True):
        differences = values - first
        titles = [
            f"{_cut(evaluation.dataset.queries[qid], 120)} ({qid}): {before:.4f} → {after:.4f}"
            for qid, before, after in zip(evaluation.qids, first, values, strict=True)
        ]
        counts = {"wins": int((differences > 0).sum()), "losses": int((differences < 0).sum())}
        charts.append(sorted_bars(differences.tolist(), titles) | counts | {"name": system.name})
    return charts


def _most_different(evaluation: Evaluation, count: int) -> list[int]:
    """Places of the queries on which the systems differ most, the largest difference first."""
    spread = np.ptp(evaluation.values[evaluation.primary], axis=0)
    return [int(place) for place in np.argsort(-spread, kind="stable")[:count]]


def _rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    values, qids = evaluation.values[evaluation.primary], evaluation.qids
    return [
        {"qid": qids[i], "text": _cut(evaluation.dataset.queries[qids[i]]), "values": values[:, i].tolist()}
        for i in _most_different(evaluation, _ROWS)
    ]


def _single(evaluation: Evaluation, passages: bool) -> dict[str, Any]:
    """What the view of single queries needs: the top of each system's list, its passages and grades."""
    shown = [(place, evaluation.qids[place]) for place in _most_different(evaluation, _QUERIES)]
    tops = {qid: [_top(one.system.run, qid) for one in evaluation.systems] for _, qid in shown}
    docids = [docid for lists in tops.values() for docid in chain.from_iterable(lists)]
    found = evaluation.dataset.passages(docids) if passages else {}
    return {
        "systems": [one.name for one in evaluation.systems],
        "measure": evaluation.primary,
        "depth": DEPTH,
        "passages": {docid: (_cut(passage.title), _cut(passage.text)) for docid, passage in found.items()},
        "queries": [_query(evaluation, place, qid, tops[qid]) for place, qid in shown],
    }


def _query(evaluation: Evaluation, place: int, qid: str, lists: list[list[str]]) -> dict[str, Any]:
    listed = set(chain.from_iterable(lists))
    return {
        "qid": qid,
        "text": _cut(evaluation.dataset.queries[qid]),
        "values": evaluation.values[evaluation.primary][:, place].tolist(),
        "lists": lists,
        "grades": {docid: grade for docid, grade in evaluation.dataset.qrels[qid].items() if docid in listed},
    }


def _top(run: Mapping[str, Any], qid: str) -> list[str]:
    return list(run[qid].docids[:DEPTH]) if qid in run else []


def _cut(text: str, characters: int = _CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
