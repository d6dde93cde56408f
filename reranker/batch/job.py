"""A run, reranked: what goes in, what it cost, what comes out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import InputError, RequestFailed
from firstrank.reranker.models.progress import Progress

if TYPE_CHECKING:
    from firstrank.reranker.batch.tasks import Finished, Rank, Tasks, Unranked
    from firstrank.reranker.runs.qrels import Qrels
    from firstrank.reranker.runs.trec import Run
    from firstrank.reranker.setup import Setup
    from firstrank.reranker.types import Ranking


_log = logging.getLogger(__name__)


class OnError(StrEnum):
    """What becomes of a query that fails."""

    fail = "fail"
    skip = "skip"
    keep = "keep"


class Missing(StrEnum):
    """What becomes of a docid without text."""

    fail = "fail"
    skip = "skip"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is reranked: a run with queries and corpus, or requests that hold everything."""

    run: Path | None
    queries: str | None
    corpus: str | None
    requests: Path | None
    depth: int
    drop_self: bool
    missing: Missing
    limit: int | None = None
    """so many queries only, the first of the run"""

    def check(self, *, needs_run: bool = True) -> None:
        together = {"--run": self.run, "--queries": self.queries, "--corpus": self.corpus}
        if self.requests is not None:
            if given := [name for name, value in together.items() if value is not None]:
                raise InputError(f"--requests holds run, queries and texts in one: leave out {', '.join(given)}")
        elif lacking := [name for name, value in together.items() if value is None and (needs_run or name != "--run")]:
            raise InputError(f"{', '.join(lacking)}: not given; a run needs --run, --queries and --corpus (or give --requests FILE.jsonl)")
        if self.depth < 1:
            raise InputError(f"--depth {self.depth}: must be at least 1")

    def facts(self) -> dict[str, str]:
        from firstrank.reranker.runs.files import fingerprint

        sources = {"run": self.run, "queries": self.queries, "corpus": self.corpus, "requests": self.requests}
        hashed = {f"--{name}": fingerprint(source) for name, source in sources.items() if source is not None}
        limited = {} if self.limit is None else {"--limit": str(self.limit)}
        return hashed | {"--depth": str(self.depth), "--drop-self": str(self.drop_self), "--missing": self.missing.value} | limited

    def tasks(self, *, words: bool = True) -> Tasks:
        """The queries, read as far as it takes to know their ids and candidates; texts are read when they are asked for.

        `words` says that a TREC run must be able to hold their ids.
        """
        from firstrank.reranker.batch.tasks import FileTasks, RunTasks, queries_of
        from firstrank.reranker.runs.queries import read_queries
        from firstrank.reranker.runs.trec import read_run
        from firstrank.reranker.texts.sources import open_texts

        if self.requests is not None:
            return FileTasks.of(self.requests, self.depth, self.drop_self, self.limit, words=words)
        assert self.run is not None
        assert self.queries is not None
        assert self.corpus is not None
        run = read_run(self.run).first(self.limit)
        queries = queries_of(run, read_queries(self.queries), self.queries)
        texts = open_texts(self.corpus, lambda: self._candidates(run), missing=self.missing.value)
        return RunTasks(run, queries, texts, self.depth, self.drop_self)

    def _candidates(self, run: Run) -> Iterator[str]:
        """The docids that are reranked."""
        for qid, ranked in run.items():
            yield from (ranked.without(qid) if self.drop_self else ranked).docids[: self.depth]


@dataclass(slots=True)
class Tally:
    """What a batch cost."""

    started: float = field(default_factory=time.perf_counter)
    ranked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Unranked] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, result: Ranking | Unranked) -> None:
        from firstrank.reranker.types import Ranking

        self.seconds = time.perf_counter() - self.started
        if not isinstance(result, Ranking):
            self.failed.append(result)
            return
        trace = result.trace
        self.ranked += 1
        self.counts.update(windows=len(trace.windows), rounds=trace.rounds)
        self.counts.update(calibrated=trace.calibrated)
        self.counts.update(prompt_tokens=trace.prompt_tokens, generated_tokens=trace.generated_tokens)

    def summary(self) -> dict[str, Any]:
        costs = {name: self.counts[name] for name in ("windows", "rounds", "prompt_tokens", "generated_tokens")}
        told = {"ranked": self.ranked, "failed": len(self.failed), "calibrated": self.counts["calibrated"] > 0, "seconds": self.seconds}
        return told | costs

    def reasons(self) -> dict[str, str]:
        return {unranked.failure.qid: str(unranked.failure.error) for unranked in self.failed}


@dataclass(frozen=True, slots=True)
class Report:
    """How a job ended."""

    output: Path
    tally: Tally
    resumed: int
    """queries that an earlier try had finished"""
    measured: Mapping[str, Mapping[str, float]]
    """measure -> {"first stage": value, "reranked": value}, over all judged queries; empty without judgments"""

    def to_dict(self) -> dict[str, Any]:
        summary = {"output": str(self.output), "resumed": self.resumed} | self.tally.summary() | {"failures": self.tally.reasons()}
        return summary | ({"measures": self.measured} if self.measured else {})

    def __str__(self) -> str:
        tally = self.tally
        per_query = f", {tally.seconds / tally.ranked:.2f} s a query" if tally.ranked else ""
        return f"{self.output}: {tally.ranked} queries in {tally.seconds:.1f} s{per_query}, {tally.counts['windows']} windows"


@dataclass(frozen=True, slots=True)
class Job:
    """One reranking of a run, resumed where an earlier try of it was interrupted."""

    inputs: Inputs
    setup: Setup
    output: Path
    trace: Path | None = None
    tail: bool = True
    on_error: OnError = OnError.fail
    qrels: Qrels | None = None
    tag: str = "firstrank"
    """the last column of a TREC run"""
    min_probability: float | None = None
    """candidates that are relevant with a lower probability are left out, and so is the tail, of which nothing is known"""

    def facts(self) -> dict[str, str]:
        """What must be the same for this job to resume an interrupted one."""
        from importlib.metadata import version

        traced = str(self.trace is not None)  # a journal without traces cannot give the file that is asked for now
        cut = {} if self.min_probability is None else {"--min-probability": str(self.min_probability)}
        return {"version": version("firstrank"), "--trace": traced} | cut | self.inputs.facts() | self.setup.facts()

    @property
    def _writes_requests(self) -> bool:
        from firstrank.reranker.runs.rankllm import is_json

        return self.inputs.requests is not None and is_json(self.output)

    def run(self, ranking: AbstractContextManager[Rank]) -> Report:
        """Reads, reranks, writes and measures; what ranks is opened when the input has been found sound.

        Where queries failed and may not: raises InputError if all of them asked for what cannot be, else RequestFailed.
        """
        from firstrank.reranker.batch.journal import open_journal
        from firstrank.reranker.batch.tasks import Finished, rerank
        from firstrank.reranker.measures import check_meeting
        from firstrank.reranker.runs.files import check_writable, sweep

        files = [path for path in (self.output, self.trace) if path is not None]
        for path in files:
            check_writable(path)
        tasks = self.inputs.tasks(words=not self._writes_requests)
        if self.qrels is not None:
            check_meeting(list(tasks.run), self.qrels, str(self.inputs.run or self.inputs.requests))
        total = len(tasks.run)
        self.setup.check(max((min(len(ranked.docids), self.inputs.depth) for ranked in tasks.run.values()), default=0))
        self._tell_of_fetching()
        with open_journal(self.output, self.facts()) as journal:
            for path in files:
                sweep(path)
            if journal.resumed:
                _log.info("resuming: %d of %d queries are done already", journal.resumed, total)
            with ranking as rank, Progress("reranking", total, done=journal.resumed) as progress:
                tally = Tally()
                for result in rerank(tasks, rank, journal, traced=self.trace is not None, least=self.min_probability):
                    tally.add(result)
                    progress.advance()
            self._refuse_failures(tally, total, journal.path)
            kept = {one.failure.qid: one.entry() for one in tally.failed} if self.on_error is OnError.keep else {}
            written = self._write(Finished(tasks.run.keys(), journal, kept))
            journal.delete()
        if tally.failed and not tally.ranked and not journal.resumed:
            raise _fault(tally)(
                f"all {total} queries failed, so {self.output} is {'the first stage' if kept else 'empty'}; the first: {_first(tally)}"
            )
        return Report(self.output, tally, journal.resumed, self._measured(tasks.run, written))

    def _tell_of_fetching(self) -> None:
        from firstrank.reranker.models.catalog import describe

        if self.setup.is_local and describe(self.setup.model)["path"] is None:
            _log.info("model %s: fetched into the cache, once; this may take a minute", self.setup.model)

    def _refuse_failures(self, tally: Tally, total: int, journal: Path) -> None:
        for qid, reason in tally.reasons().items():
            _log.info("query %r failed: %s", qid, reason)
        if tally.failed and self.on_error is OnError.fail:
            raise _fault(tally)(
                f"{len(tally.failed)} of {total} queries failed, so {self.output} was not written. Finished queries are kept in {journal}: "
                "the same command tries the others again; --on-error skip leaves them out, --on-error keep writes them in first-stage order"
            )

    def _write(self, finished: Finished) -> Run | None:
        """Writes all files; gives what was written, if it is to be measured or was needed whole."""
        from firstrank.reranker.batch.tasks import reordered
        from firstrank.reranker.runs.rankllm import write_requests
        from firstrank.reranker.runs.trec import Run, write_run

        lists = finished.lists(tail=self.tail and self.min_probability is None)
        requests = self.inputs.requests if self._writes_requests else None
        run = None if self.qrels is None and requests is None else Run(lists, name=str(self.output))
        if requests is not None and run is not None:
            write_requests(self.output, reordered(requests, run))
        else:
            write_run(self.output, lists if run is None else run.values(), tag=self.tag)
        if self.trace is not None:
            finished.write_traces(self.trace)
        return run

    def _measured(self, before: Run, written: Run | None) -> Mapping[str, Mapping[str, float]]:
        """measure -> {"first stage": value, "reranked": value}, over all judged queries; with a limit, over those within it.

        Of the lists that were written, not of the file read again: in it scores strictly decrease, so that it is read in their order.
        """
        from firstrank.reranker.measures import compare

        if self.qrels is None or written is None:
            return {}
        limited = self.inputs.limit is not None
        judged = {qid: grades for qid, grades in self.qrels.items() if not limited or qid in before}
        if not judged:
            raise InputError(f"none of the {len(before)} queries is judged: nothing was measured")
        return compare({"first stage": before, "reranked": written}, judged)


def _fault(tally: Tally) -> type[InputError | RequestFailed]:
    return InputError if all(isinstance(one.failure.error, InputError) for one in tally.failed) else RequestFailed


def _first(tally: Tally) -> str:
    qid, reason = next(iter(tally.reasons().items()))
    return f"{qid!r}: {reason}"


def ranked_in(path: Path) -> Run:
    """A TREC run, or the lists of RankLLM's JSON, as a run."""
    from firstrank.reranker.runs.files import byte_lines
    from firstrank.reranker.runs.rankllm import read_lists
    from firstrank.reranker.runs.trec import read_run

    first = next(byte_lines(path), (1, b""))[1] if path.is_file() else b""  # a pipe is read once
    return read_lists(path) if first.lstrip().startswith((b"{", b"[")) else read_run(path)
