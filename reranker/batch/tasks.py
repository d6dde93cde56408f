"""A whole run, reranked: its queries become requests, finished ones go to the journal, and the output appears at the end.

The same for TREC runs and for RankLLM's requests, whoever ranks: a Reranker here, or workers elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.batch.journal import Entry, Journal
from firstrank.reranker.errors import EngineLost, InputError
from firstrank.reranker.runs.files import whole_file
from firstrank.reranker.runs.ids import hint, some
from firstrank.reranker.runs.queries import warn_of_empty
from firstrank.reranker.runs.rankllm import ScoredRequest, read_lists, read_requests
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.texts.sources import Texts, passages
from firstrank.reranker.types import Failure, Ranking, Request

Rank = Callable[[Iterable[Request]], Iterator[Ranking | Failure]]


class Task(NamedTuple):
    """One query of a batch: the candidates to rerank, and the docids that follow them untouched."""

    request: Request
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunTasks:
    """The queries of a run, with their texts read as they are asked for."""

    run: Run
    queries: Mapping[str, str]
    texts: Texts
    depth: int
    drop_self: bool = False

    def __iter__(self) -> Iterator[Task]:
        for qid, ranked in self.run.items():
            candidates = ranked.without(qid) if self.drop_self else ranked
            found = passages(self.texts, candidates.docids[: self.depth])
            there = {passage.docid for passage in found}
            score = dict(zip(candidates.docids[: self.depth], candidates.scores.tolist(), strict=False))
            request = Request(self.queries[qid], found, qid, first_stage=tuple(score[passage.docid] for passage in found))
            yield Task(request, tuple(docid for docid in candidates.docids if docid not in there))


@dataclass(frozen=True, slots=True)
class FileTasks:
    """The requests of a RankLLM JSONL file, whose texts are read again as they are ranked: `run` holds only its lists."""

    run: Run
    path: Path
    depth: int
    drop_self: bool = False

    @classmethod
    def of(cls, path: Path, depth: int, drop_self: bool = False, limit: int | None = None, *, words: bool = True) -> Self:
        """Reads the file once, for its ids and scores; `words` if a TREC run must be able to hold its ids."""
        return cls(read_lists(path, words=words).first(limit), path, depth, drop_self)

    def __iter__(self) -> Iterator[Task]:
        for request, scores in islice(read_requests(self.path), len(self.run)):
            pairs = zip(request.passages, scores.tolist(), strict=True)
            kept = [(passage, score) for passage, score in pairs if not (self.drop_self and passage.docid == request.qid)]
            top, rest = kept[: self.depth], kept[self.depth :]
            first_stage = tuple(score for _, score in top)
            read = Request(request.query, tuple(passage for passage, _ in top), request.qid, first_stage=first_stage)
            yield Task(read, tuple(passage.docid for passage, _ in rest))


Tasks = RunTasks | FileTasks


def queries_of(run: Run, queries: Iterable[tuple[str, str]], source: str) -> dict[str, str]:
    """The queries that a run names. Raises InputError for those that `source` lacks."""
    found, others = dict[str, str](), list[str]()
    for qid, text in queries:
        if qid in run:
            found[qid] = text
        else:
            others.append(qid)
    lacking = [qid for qid in run if qid not in found]
    if lacking:
        raise InputError(
            f"{source}: no text for {len(lacking)} of the {len(run)} queries of {run.name}: {some(lacking)}{hint(lacking, others)}"
        )
    warn_of_empty(source, [qid for qid, text in found.items() if not text.strip()])
    return found


def rerank(
    tasks: Iterable[Task], rank: Rank, journal: Journal, *, traced: bool = False, least: float | None = None
) -> Iterator[Ranking | Unranked]:
    """Ranks what the journal does not hold yet, writes it there, and yields it. A query without candidates is ranked too: as empty.

    Traces are kept if they are to be written (`traced`): a trace names each window's docids, and takes more than the ranking itself.
    Results below the probability `least` are left out; traces tell of these too.
    Raises EngineLost at once: no further query can succeed. InputError for a cut where the model is not calibrated.
    """
    unfinished = Unfinished(tasks, journal)
    for result in rank(unfinished):
        at_once, tail = len(unfinished.tails), unfinished.tails.pop(result.qid)
        if isinstance(result, Ranking):
            kept = result if least is None else result.at_least(least)
            trace = {"trace": _traced(result, at_once)} if traced else {}
            journal.add(result.qid, _entry(kept, tail) | trace)
            yield result
        elif isinstance(result.error, EngineLost):
            raise result.error
        else:
            yield Unranked(result, tail)


class Unfinished:
    """The requests that a journal does not hold yet, read once and lazily; `tails` has those of the requests that are out."""

    def __init__(self, tasks: Iterable[Task], journal: Journal) -> None:
        self._tasks, self._journal = tasks, journal
        self.tails: dict[str, tuple[str, ...]] = {}

    @property
    def texts(self) -> Texts | None:
        """Where the passages' texts were read, so that workers elsewhere may read them there too; None if they came with the requests."""
        return self._tasks.texts if isinstance(self._tasks, RunTasks) else None

    def __iter__(self) -> Iterator[Request]:
        for task in self._tasks:
            if task.request.qid not in self._journal:
                self.tails[task.request.qid] = task.tail
                yield task.request


class Unranked(NamedTuple):
    """A query that failed, with all that is needed to write it in first-stage order."""

    failure: Failure
    tail: tuple[str, ...]

    def entry(self) -> Entry:
        docids = [passage.docid for passage in self.failure.request.passages]
        return {"qid": self.failure.qid, "docids": docids, "scores": [float(-i) for i in range(len(docids))], "tail": list(self.tail)}


@dataclass(frozen=True, slots=True)
class Finished:
    """All that a batch has to write: the journal's parts, merged in the order of its queries, and what failed and is kept as it came."""

    qids: Collection[str]
    journal: Journal
    kept: Mapping[str, Entry]

    def __iter__(self) -> Iterator[Entry]:
        for qid in self.qids:
            if qid in self.journal:
                yield self.journal[qid]
            elif qid in self.kept:
                yield self.kept[qid]

    def lists(self, *, tail: bool) -> Iterator[Ranked]:
        """Each query's reranked candidates and, with `tail`, those that follow them."""
        return (_ranked(entry, tail) for entry in self)

    def write_traces(self, output: Path) -> None:
        """One JSON object a ranked query (see `Trace`)."""
        with whole_file(output) as file:
            file.writelines(json.dumps(entry["trace"], ensure_ascii=False) + "\n" for entry in self if "trace" in entry)


def reordered(source: Path, run: Run) -> Iterator[ScoredRequest]:
    """The requests of a RankLLM JSONL file, read again for their passages, with the candidates and scores of `run`."""
    for request, _ in read_requests(source):
        if request.qid in run:
            _, docids, scores = run[request.qid]
            passage_of = {passage.docid: passage for passage in request.passages}
            yield ScoredRequest(Request(request.query, tuple(passage_of[docid] for docid in docids), request.qid), scores)


def _traced(ranking: Ranking, at_once: int) -> dict[str, Any]:
    """A line of `--trace FILE.jsonl`; of a calibrated model, with each candidate's probability."""
    told = ranking.trace.to_dict() | {"at_once": at_once}  # seconds hold the waiting for the others
    return told | ({"probabilities": {one.docid: one.probability for one in ranking}} if ranking.trace.calibrated else {})


def _entry(ranking: Ranking, tail: tuple[str, ...]) -> dict[str, Any]:
    return {
        "docids": [result.docid for result in ranking],
        "scores": [result.raw_score for result in ranking],
        "tail": list(tail),
    }


def _ranked(entry: Entry, tail: bool) -> Ranked:
    """The reranked candidates, then the tail, each of it one below the one before."""
    docids, rest = list(entry["docids"]), list(entry["tail"]) if tail else []
    return Ranked(entry["qid"], tuple(docids + rest), with_tail(entry["scores"], len(rest)))


def with_tail(scores: Sequence[float], n: int) -> NDArray[np.float32]:
    """The scores of reranked candidates, and those of the `n` that follow, each of them one below the one before."""
    last = scores[-1] if scores else 0.0
    return np.array([*scores, *(last - place for place in range(1, n + 1))], np.float32)
