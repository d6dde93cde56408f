"""All files of an evaluation: report.html, report.json, per_query.csv, tables and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firstrank.eval.evaluation import Evaluation, Measured
from firstrank.eval.report import tables
from firstrank.eval.report.html import report_page
from firstrank.eval.report.plots import write_plots
from firstrank.reranker.errors import MachineError, MissingExtra
from firstrank.reranker.runs.files import whole_file

_FORM = 2
"""of report.json; a new number where a field changes its meaning"""


def prepare(folder: Path) -> None:
    """Makes the output folder, before any work is done.

    Raises MissingExtra where a package that the report takes is not installed, MachineError where there can be no such folder.
    """
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise MissingExtra(package, "eval", "writing a report")
    make_folder(folder)


def make_folder(folder: Path) -> None:
    """Raises MachineError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"{folder}: cannot be made: {error.strerror or error}") from error


def write_report(folder: Path, evaluation: Evaluation, facts: Mapping[str, Any], *, passages: bool = True) -> None:
    """Writes them all into a folder that is there; each appears whole or not at all. `passages` as for `report_page`."""
    write_plots(folder, evaluation)
    write_json(folder / "report.json", report_object(evaluation, facts))
    texts = {
        "summary.md": tables.markdown(evaluation),
        "summary.tex": tables.latex(evaluation),
        "report.html": report_page(evaluation, facts, passages=passages),
    }
    for name, text in texts.items():
        with whole_file(folder / name) as file:
            file.write(text)
    with whole_file(folder / "per_query.csv") as file:
        tables.write_per_query(file, evaluation)


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    """JSON without NaN: a number that could not be computed is null."""
    with whole_file(path) as file:
        json.dump(_plain(found), file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")


def report_object(evaluation: Evaluation, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What report.json holds."""
    dataset = evaluation.dataset
    return {
        "form": _FORM,
        "dataset": {
            "name": dataset.name,
            "source": dataset.source,
            "split": dataset.split,
            "queries": len(dataset.qrels),
            "judgments": sum(map(len, dataset.qrels.values())),
            "relevant_from_grade": evaluation.relevant_from,
        },
        "averaging": "all judged queries; one that a run lacks counts 0",
        "tested": evaluation.tested,
        "correction": evaluation.method.correction,
        "baseline": evaluation.method.baseline,
        "measures": list(evaluation.measures),
        "seed": evaluation.seed,
        "systems": [_system(one) for one in evaluation.systems],
        "comparisons": [asdict(one) | {"significant": one.significant} for one in evaluation.comparisons],
        "facts": dict(facts),
    }


def _system(one: Measured) -> dict[str, Any]:
    return {
        "name": one.name,
        "run": one.system.run.name,
        "measures": {name: asdict(estimate) for name, estimate in one.estimates.items()},
        "missing_queries": list(one.missing),
        "unjudged_queries": list(one.system.unjudged),
        "latency": one.latency.to_dict() if one.latency else None,
        "responses": one.responses.to_dict() if one.responses else None,
        "calibration": one.reliability.to_dict() if one.reliability else None,
        "facts": dict(one.system.facts),
    }


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(one) for one in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
