"""`firstrank feedback`: a reranked run teaches the dense retriever, which searches again; and `rerank --feedback`, all of it in one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstrank.reranker.commands.console import note, print_json, print_measures
from firstrank.reranker.errors import InputError, MachineError

if TYPE_CHECKING:
    from firstrank.reranker.batch.job import Job, Report
    from firstrank.reranker.batch.tasks import Rank
    from firstrank.reranker.feedback import Feedback
    from firstrank.reranker.retrievers.vectors import Vectors
    from firstrank.reranker.runs.trec import Ranked, Run


class Objective(StrEnum):
    """How a query vector learns; see `firstrank.reranker.feedback.Feedback`."""

    kl = "kl"
    ranknet = "ranknet"
    ridge = "ridge"
    rocchio = "rocchio"


def feedback(
    run: Annotated[Path, typer.Option(help="The reranked run, whose scores teach.")],
    vectors: Annotated[
        Path,
        typer.Option(help="The folder that firstrank retrieve --save-vectors wrote: passages.npy, passages.ids, queries.npy, queries.ids."),
    ],
    output: Annotated[Path, typer.Option(help="The second retrieval's run; a name in .gz is compressed.")],
    depth: Annotated[int, typer.Option(help="Candidates per query in the second run.")] = 100,
    candidates: Annotated[int, typer.Option(help="Candidates per query that teach; as many as were reranked.")] = 100,
    objective: Annotated[Objective, typer.Option(help="The loss to minimise; rocchio is the baseline without gradients.")] = Objective.kl,
    steps: Annotated[int | None, typer.Option(help="kl, ranknet: how many steps of Adam.")] = None,
    rate: Annotated[float | None, typer.Option(help="kl, ranknet: Adam's learning rate.")] = None,
    save_queries: Annotated[Path | None, typer.Option(help="A folder for the new query vectors.")] = None,
    qrels: Annotated[str | None, typer.Option(help="Judgments, to measure both runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Distils a reranking into better query vectors and retrieves again: finds what the first stage missed."""
    from firstrank.reranker.feedback import Feedback
    from firstrank.reranker.retrievers.vectors import read_vectors
    from firstrank.reranker.runs.files import check_writable
    from firstrank.reranker.runs.qrels import read_qrels
    from firstrank.reranker.runs.trec import Run, read_run, write_run

    for name, number in (("--depth", depth), ("--candidates", candidates)):
        if number < 1:
            raise InputError(f"{name} {number}: must be at least 1")
    given: dict[str, Any] = {name: value for name, value in (("steps", steps), ("rate", rate)) if value is not None}
    how = Feedback(objective.value, **given)
    check_writable(output)
    judged = read_qrels(qrels) if qrels is not None else None
    first = read_run(run)
    passages = read_vectors(vectors, "passages")
    queries = taught(first, read_vectors(vectors, "queries"), passages, candidates, how, source=vectors)
    if save_queries is not None:
        queries.save(save_queries, "queries")
    found = searched(passages, queries, depth)
    second = None if judged is None else Run(found)
    write_run(output, found if second is None else second.values(), tag=f"feedback-{objective}")
    summary: dict[str, Any] = {"output": str(output), "queries": len(queries)}
    measured = _measured({"first": first, "second": second}, judged) if judged is not None and second is not None else None
    if as_json:
        print_json(summary | ({"measures": measured} if measured else {}))
        return
    note(f"{output}: {len(queries)} queries, retrieved again")
    if measured:
        print_measures(measured)


def taught(run: Run, queries: Vectors, passages: Vectors, candidates: int, how: Feedback, *, source: Path) -> Vectors:
    """A run's queries with better vectors. Raises InputError for a query or candidate without a vector."""
    from firstrank.reranker.feedback import distil
    from firstrank.reranker.retrievers.vectors import Vectors, rows_of

    ranked = [one.top(candidates) for one in run.values()]
    known = queries.values[rows_of(queries, list(run), "queries", source)]
    rows = rows_of(passages, [docid for one in ranked for docid in one.docids], "candidates", source)
    vectors, start = [], 0
    for one in ranked:
        vectors.append(passages.values[rows[start : start + len(one.docids)]])
        start += len(one.docids)
    return Vectors(tuple(run), distil(known, vectors, [one.scores for one in ranked], how))


def searched(passages: Vectors, queries: Vectors, depth: int) -> Iterator[Ranked]:
    from firstrank.reranker.retrievers.vectors import search

    return search(passages, queries, depth)


@dataclass(frozen=True, slots=True)
class Rounds:
    """`firstrank rerank --feedback ROUNDS`: retrieve, rerank, distil, retrieve, rerank.

    Between its stages the work lies in `OUTPUT.feedback/`: a finished stage is not done again by the same command, and the
    folder goes when the output is whole.
    """

    job: Job
    rounds: int
    vectors: Path
    encoder: str

    def run(self, ranking: AbstractContextManager[Rank]) -> Report:
        """Raises what a Job raises, and InputError for vectors that do not fit."""
        if self.rounds < 1:
            raise InputError(f"--feedback {self.rounds}: must be at least 1 round")
        if self.job.inputs.requests is not None:
            raise InputError("--feedback searches --corpus again: give --run or nothing, not --requests")
        folder = self.job.output.with_name(self.job.output.name + ".feedback")
        self._resume(folder)
        run = first = self._first(folder)
        with ranking as rank:
            for number in range(1, self.rounds + 1):
                run = self._round(folder, number, run, rank)
            note("the last reranking")
            report = replace(self.job, inputs=replace(self.job.inputs, run=run)).run(nullcontext(rank))
        report = replace(report, measured=self._measured(folder, first, report))
        shutil.rmtree(folder, ignore_errors=True)
        return report

    def _measured(self, folder: Path, first: Path, report: Report) -> Mapping[str, Mapping[str, float]]:
        """Every retrieval and every reranking, in the order in which they were made."""
        from firstrank.reranker.measures import compare
        from firstrank.reranker.runs.trec import read_run

        if self.job.qrels is None or not report.measured:
            return report.measured
        runs = {"retrieval 1": read_run(first)}
        for number in range(1, self.rounds + 1):
            runs[f"reranking {number}"] = read_run(folder / f"{number}-reranked.trec")
            runs[f"retrieval {number + 1}"] = read_run(folder / f"{number}-retrieved.trec")
        asked = self.job.inputs.limit is not None
        judged = {qid: grades for qid, grades in self.job.qrels.items() if not asked or qid in runs["reranking 1"]}
        found = compare(runs, judged, list(report.measured))
        return {name: {**values, f"reranking {self.rounds + 1}": report.measured[name]["reranked"]} for name, values in found.items()}

    def _resume(self, folder: Path) -> None:
        facts = self.job.facts() | {"--vectors": str(self.vectors), "--feedback": str(self.rounds)}
        known = folder / "facts.json"
        try:
            folder.mkdir(exist_ok=True)
            if known.is_file() and json.loads(known.read_text(encoding="utf-8")) != facts:
                raise InputError(
                    f"{folder}: is of an interrupted command with other inputs or options: delete it, or give another --output"
                )
            known.write_text(json.dumps(facts), encoding="utf-8")
        except (OSError, ValueError) as error:
            raise MachineError(f"{folder}: cannot be used: {error}") from error

    def _first(self, folder: Path) -> Path:
        """The vectors, made if they are not there, and the first run: the one given, or a dense search."""
        from firstrank.reranker.retrievers.dense import open_retriever
        from firstrank.reranker.retrievers.vectors import read_vectors
        from firstrank.reranker.runs.queries import read_queries
        from firstrank.reranker.runs.trec import write_run

        inputs = self.job.inputs
        assert inputs.queries is not None
        assert inputs.corpus is not None
        first = inputs.run or folder / "0-retrieved.trec"
        if not (self.vectors / "queries.ids").is_file():
            note(f"vectors of {inputs.corpus} by dense:{self.encoder}, into {self.vectors}")
            dense = open_retriever(self.encoder, inputs.corpus)
            found = list(dense.search(read_queries(inputs.queries), inputs.depth))
            dense.save(self.vectors)
            if inputs.run is None:
                write_run(first, found, tag="dense")
        elif not first.is_file():
            write_run(
                first, searched(read_vectors(self.vectors, "passages"), read_vectors(self.vectors, "queries"), inputs.depth), tag="dense"
            )
        return first

    def _round(self, folder: Path, number: int, run: Path, rank: Rank) -> Path:
        """A run reranked, distilled and retrieved again."""
        from firstrank.reranker.feedback import Feedback
        from firstrank.reranker.retrievers.vectors import read_vectors
        from firstrank.reranker.runs.trec import read_run, write_run

        reranked, retrieved = folder / f"{number}-reranked.trec", folder / f"{number}-retrieved.trec"
        if not reranked.is_file():
            note(f"reranking {number} of {self.rounds + 1}")
            stage = replace(self.job, inputs=replace(self.job.inputs, run=run), output=reranked, trace=None, qrels=None)
            stage.run(nullcontext(rank))
        if not retrieved.is_file():
            passages, queries = read_vectors(self.vectors, "passages"), read_vectors(self.vectors, "queries")
            better = taught(read_run(reranked), queries, passages, self.job.inputs.depth, Feedback(), source=self.vectors)
            write_run(retrieved, searched(passages, better, self.job.inputs.depth), tag="feedback")
        return retrieved


def _measured(runs: Mapping[str, Run], judged: Any) -> Mapping[str, Mapping[str, float]]:
    from firstrank.reranker.measures import compare, default_measures

    return compare(runs, judged, default_measures(judged))
