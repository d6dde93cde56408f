"""The summary as people paste it: Markdown for notes, LaTeX for papers, CSV for their own statistics."""

from __future__ import annotations

import csv
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from firstrank.eval.evaluation import Evaluation
from firstrank.eval.reliability import TOP

COST = ("p50 s", "p95 s", "windows", "prompt tokens")
_PROBABLE = ("probabilities", "queries", "candidates", "relevant", "ECE", "Brier", "AUROC", "none relevant AUROC", "cut", "kept", "dropped")
PROBABILITIES = (
    "Probabilities: of all reranked candidates of judged queries; one without a judgment counts as not relevant. "
    "AUROC: relevant candidates against others, across queries. "
    "None relevant: queries without a relevant candidate against those with one, AUROC "
    "(— where there is one kind only). Cut: the calibration's own, which traces do not tell. "
    f"Among the best {TOP} of each query, it keeps and drops these shares of the relevant and of the others."
)
_JUDGED = "judgments' hash"
_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


def letter(place: int) -> str:
    """What a system is called where another is marked as better than it: a, b, … z, then 26, 27, …"""
    return string.ascii_lowercase[place] if place < 26 else f"({place})"


def markdown(evaluation: Evaluation) -> str:
    """The summary as a Markdown table."""
    rows = [[name.replace("|", "\\|") for name in row] for row in _rows(evaluation, _plain)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    aligned = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], aligned, *lines[1:], "", _legend(evaluation), *_calibrations(evaluation), ""])


def share(number: float | None) -> str:
    """Three places, or a dash for what could not be computed."""
    return "—" if number is None else f"{number:.3f}"


def latex(evaluation: Evaluation) -> str:
    """The summary as a LaTeX table (booktabs)."""
    rows = _rows(evaluation, _superscript)
    body = [" & ".join(row) + r" \\" for row in [[_escaped(cell) if i == 0 else cell for i, cell in enumerate(row)] for row in rows[1:]]]
    head = " & ".join(map(_escaped, rows[0])) + r" \\"
    columns = "l" + "r" * (len(rows[0]) - 1)
    legend = "% " + _legend(evaluation)
    return "\n".join(
        [legend, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
    )


def write_per_query(file: TextIO, evaluation: Evaluation) -> None:
    """A row a query and measure, a column a system."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["qid", "measure", *(system.name for system in evaluation.systems)])
    for place, qid in enumerate(evaluation.qids):
        for measure in evaluation.measures:
            writer.writerow([qid, measure, *(f"{value:.6f}" for value in evaluation.values[measure][:, place])])


def provenance(evaluation: Evaluation, facts: Mapping[str, Any]) -> str:
    """A line a row of the table: which file it was, and its hash, or how it was reranked; and the command."""
    lines = [f"command: {facts.get('command', '')}", f"judgments: {facts.get('dataset')}, sha256 {facts.get(_JUDGED)}"]
    for place, one in enumerate(evaluation.systems):
        said = ", ".join(f"{name} {value}" for name, value in one.system.facts.items())
        lines.append(f"{letter(place)} {one.name}: {said}")
    return "\n".join(lines)


def _rows(evaluation: Evaluation, mark: Callable[[str, Sequence[int]], str]) -> list[list[str]]:
    costs = any(system.latency for system in evaluation.systems)
    rows = [["system", *evaluation.measures, *(COST if costs else ())]]
    for place, system in enumerate(evaluation.systems):
        cells = [mark(f"{system.estimates[name].mean:.4f}", evaluation.better_than(place, name)) for name in evaluation.measures]
        cost = system.latency
        spent = [cost.shown("p50"), cost.shown("p95"), f"{cost.windows:.1f}", f"{cost.prompt_tokens:.0f}"] if cost else ["—"] * len(COST)
        rows.append([f"{letter(place)} {system.name}", *cells, *(spent if costs else ())])
    return rows


def _calibrations(evaluation: Evaluation) -> list[str]:
    """A Markdown table of how good the probabilities of calibrated systems are; nothing without one."""
    rows = []
    for place, system in enumerate(evaluation.systems):
        if (found := system.reliability) is None:
            continue
        cut = found.cut
        cells = [letter(place), str(found.queries), str(found.candidates), share(found.relevant)]
        cells += map(share, (found.ece, found.brier, found.auroc, found.nothing_relevant_auroc))
        cells += [f"{cut.probability:g}", share(cut.kept), share(cut.dropped)] if cut else ["—"] * 3
        rows.append("| " + " | ".join(cells) + " |")
    if not rows:
        return []
    return ["", "| " + " | ".join(_PROBABLE) + " |", "|---|" + "---:|" * (len(_PROBABLE) - 1), *rows, "", PROBABILITIES]


def _plain(value: str, beaten: Sequence[int]) -> str:
    return f"{value} {''.join(map(letter, beaten))}".strip()


def _superscript(value: str, beaten: Sequence[int]) -> str:
    return f"{value}$^{{{''.join(map(letter, beaten))}}}$" if beaten else value


def _legend(evaluation: Evaluation) -> str:
    costs = [one.latency for one in evaluation.systems if one.latency]
    marked = (
        "* of so few queries, a percentile is little more than the slowest." if any(cost.alone and cost.uncertain for cost in costs) else ""
    )
    batch = "— seconds: many queries at once, so none has a latency of its own." if any(not cost.alone for cost in costs) else ""
    said = [
        f"Means over {len(evaluation.qids)} judged queries; relevant: grades of {evaluation.relevant_from} and more, "
        "unless a measure's name says another.",
        f"Letters after a value: the systems that it significantly exceeds ({evaluation.tested}).",
        *(f"{note}." for note in evaluation.notes),
        marked,
        batch,
    ]
    return " ".join(filter(None, said))


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
