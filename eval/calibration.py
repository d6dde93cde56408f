"""Judged queries, read by a model -> the evidence that a calibration is fitted to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from firstrank.eval.datasets import open_dataset
from firstrank.reranker.batch.tasks import RunTasks, queries_of
from firstrank.reranker.calibration.calibration import Calibration, Holds
from firstrank.reranker.calibration.fitting import Judged, fit
from firstrank.reranker.calibration.maps import MODEL, Floats
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import relevance_cutoff
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.digests import template_digest, weights_digest
from firstrank.reranker.models.progress import Progress
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Run, read_run
from firstrank.reranker.scorers.backends import spec_of
from firstrank.reranker.scorers.base import Scorer, Session, evidence_of, standing_of
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Request

EXTRA = 5
"""candidates that a prior would leave unread, and are read all the same: of weak passages too the model's value must be known"""


@dataclass(frozen=True, slots=True)
class Source:
    """Judged candidates: a dataset with its split, and a run over it."""

    dataset: str
    split: str | None
    run: Path

    @property
    def name(self) -> str:
        return Path(self.dataset).name + (f" {self.split}" if self.split else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is calibrated."""

    setup: Setup
    sources: Sequence[Source]
    queries: int | None
    depth: int
    relevant_from: int | None

    def run(self) -> Calibration:
        """Reads the candidates of every source and fits. Raises InputError for a model without evidence."""
        reads = spec_of(self.setup.model, self.setup.backend).answer == "pointwise"
        asked = [(source, *read_requests(source, self.queries, self.depth)) for source in self.sources]
        scorer, _ = self.setup.open_scorer()
        try:
            holds = self.holds((str(getattr(scorer, "dtype", "float32")),))
            with Progress("reading", sum(len(requests) for _, requests, _ in asked)) as progress:
                sets = [
                    judged(source.name, requests, qrels, self.relevant_from, scorer, reads, progress.advance)
                    for source, requests, qrels in asked
                ]
        finally:
            scorer.close()
        return fit(sets, holds)

    def holds(self, arithmetic: tuple[str, ...]) -> Holds:
        """For which model the calibration will hold."""
        setup = self.setup
        spec = spec_of(setup.model, setup.backend).instructed(setup.instruction)
        return Holds(weights=weights_digest(spec, find_model(setup.model)[1]), template=template_digest(spec), arithmetic=arithmetic)


def read_requests(source: Source, queries: int | None, depth: int) -> tuple[list[Request], Qrels]:
    """The judged queries of a run, evenly spread where fewer are wanted, with `depth` candidates each."""
    dataset = open_dataset(source.dataset, source.split)
    judged = dataset.judged(read_run(source.run))
    step = 1 if queries is None else max(len(judged) // queries, 1)
    some = Run(islice(judged.values(), 0, None if queries is None else queries * step, step), name=judged.name)
    texts = dataset.texts(lambda: some.docids(depth))
    try:
        tasks = RunTasks(some, queries_of(some, dataset.queries.items(), source.dataset), texts, depth)
        return [task.request for task in tasks], dataset.qrels
    finally:
        texts.close()


def judged(
    name: str,
    requests: Sequence[Request],
    qrels: Qrels,
    relevant_from: int | None,
    scorer: Scorer,
    reads: bool,
    told: Callable[[], None] = lambda: None,
) -> Judged:
    """The evidence of all candidates. One without a judgment counts as not relevant, as measures count it.

    A passage is relevant from a grade that is said, or from the one that measures of this data set take.
    """

    async def every() -> list[dict[str, Floats]]:
        found = []
        for place, request in enumerate(requests):
            found.append(await evidence(request, scorer, reads, place))
            told()
        return found

    columns = asyncio.run(every())
    if not columns or not columns[0]:
        raise InputError(
            "this model gives a passage no value that stands by itself: calibrate takes a model that reads a passage at a time "
            "(answer: pointwise), or one with encoders before it (--prior dense:minilm)"
        )
    query = np.repeat(np.arange(len(requests)), [len(request.passages) for request in requests])
    relevant_from = relevant_from or relevance_cutoff(qrels)
    relevant = [qrels[one.qid].get(passage.docid, 0) >= relevant_from for one in requests for passage in one.passages]
    whole = {name: np.concatenate([one[name] for one in columns]) for name in columns[0]}
    read = np.isfinite(whole[MODEL]) if MODEL in whole else np.zeros(len(query), bool)
    return Judged(name, relevant_from, query, np.array(relevant), read, whole)


async def evidence(request: Request, scorer: Scorer, reads: bool, seed: int) -> dict[str, Floats]:
    """Of one request's candidates; the model's is NaN for those that it does not read."""
    session = scorer.open(request)
    try:
        found = {name: np.asarray(column) for name, column in evidence_of(session).items()}
        if reads:
            chosen = tuple(_chosen(session, len(request.passages), seed))
            found[MODEL] = np.full(len(request.passages), np.nan)
            if chosen:
                found[MODEL][list(chosen)] = (await session.score(chosen)).values
        return found
    finally:
        session.close()


def _chosen(session: Session, n: int, seed: int) -> Iterator[int]:
    standing = standing_of(session)
    if standing is None:
        yield from range(n)
        return
    order, depth = standing.order, getattr(standing, "depth", n)
    yield from order[:depth]
    rest = order[depth:]
    yield from random.Random(seed).sample(rest, min(EXTRA, len(rest)))
