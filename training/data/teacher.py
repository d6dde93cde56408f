"""Examples from a teacher: any reranker here, or a run file that one wrote.

Complete lists (arXiv 2412.14574): a sliding pass sorts the head of a list only, so passes are repeated, each over the order that
the one before left, until the order stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from firstrank.reranker.batch.journal import Journal
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.trec import Run
from firstrank.reranker.types import Failure, Passage, Request
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import BEST, Example


class Taught(NamedTuple):
    """A request and the teacher's order of it."""

    request: Request
    docids: tuple[str, ...]
    passes: int
    scores: tuple[float, ...] | None = None
    """the teacher's own, of `docids`; None where it only ordered"""


def complete(reranker: Reranker, requests: Iterable[Request], selection: Selection, *, most: int = 10) -> Iterator[Taught]:
    """The teacher's complete lists. One that has not settled after `most` passes is dropped and counted, and so is one that fails."""
    waiting: dict[str, tuple[Request, Sequence[Passage]]] = {request.qid: (request, request.passages) for request in requests}
    for passes in range(1, most + 1):
        again: dict[str, tuple[Request, Sequence[Passage]]] = {}
        asked = [Request(first.query, tuple(order), first.qid, first.passage_tokens) for first, order in waiting.values()]
        for ranking in reranker.stream(asked):
            first, order = waiting[ranking.qid]
            if isinstance(ranking, Failure):
                selection.drop(f"the teacher failed: {ranking.error}", ranking.qid)
                continue
            new = tuple(result.passage for result in ranking)
            if new == tuple(order):
                yield Taught(first, tuple(passage.docid for passage in new), passes, tuple(result.raw_score for result in ranking))
            else:
                again[ranking.qid] = (first, new)
        waiting = again
    for qid in waiting:
        selection.drop(f"not stable after {most} passes", qid)


def once(reranker: Reranker, requests: Iterable[Request], selection: Selection) -> Iterator[Taught]:
    """The teacher's lists after one run of its strategy."""
    for ranking in reranker.stream(requests):
        if isinstance(ranking, Failure):
            selection.drop(f"the teacher failed: {ranking.error}", ranking.qid)
        else:
            shown = tuple(result.passage for result in sorted(ranking, key=lambda result: result.index))
            scores = tuple(result.raw_score for result in ranking)
            yield Taught(Request(ranking.query, shown, ranking.qid), tuple(result.docid for result in ranking), 1, scores)


def remembered(teach: Callable[[Iterable[Request]], Iterator[Taught]], requests: Sequence[Request], journal: Journal) -> Iterator[Taught]:
    """The teacher's lists in the order of the requests; those that the journal has are not paid for again, and new ones go into it."""
    for new in teach([request for request in requests if request.qid not in journal]):
        journal.add(new.request.qid, {"docids": new.docids, "passes": new.passes, "scores": new.scores})
    for request in requests:
        if request.qid in journal:
            entry = journal[request.qid]
            scores = None if entry["scores"] is None else tuple(entry["scores"])
            yield Taught(request, tuple(entry["docids"]), entry["passes"], scores)


def from_run(run: Run, requests: Iterable[Request], selection: Selection) -> Iterator[Taught]:
    """Lists in the order of a run that a teacher wrote; passages that it does not rank leave the example."""
    for request in requests:
        if request.qid not in run:
            selection.drop("the teacher's run lacks the query", request.qid)
            continue
        ranked = set(run[request.qid].docids)
        passages = tuple(passage for passage in request.passages if passage.docid in ranked)
        there = {passage.docid for passage in passages}
        ranked_by = run[request.qid]
        pairs = [(docid, float(score)) for docid, score in zip(ranked_by.docids, ranked_by.scores, strict=True) if docid in there]
        order, scores = tuple(docid for docid, _ in pairs), tuple(score for _, score in pairs)
        yield Taught(Request(request.query, passages, request.qid), order, 0, scores)


def examples(listed: Iterable[Taught], selection: Selection) -> Iterator[Example]:
    """Examples whose grades follow the teacher's order, passages in first-stage order; the teacher's scores beside, where it has some."""
    for request, docids, _, scores in listed:
        if len(docids) < 2:
            selection.drop("fewer than two passages", request.qid)
            continue
        rank = {docid: i for i, docid in enumerate(docids)}
        grades = tuple(BEST * (1.0 - rank[passage.docid] / (len(docids) - 1)) for passage in request.passages)
        own = None if scores is None else tuple(scores[rank[passage.docid]] for passage in request.passages)
        yield Example(request.qid, request.query, request.passages, grades, own)
