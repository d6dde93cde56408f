"""Examples from judgments and a first-stage run: relevant passages, and hard negatives by rank band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.texts.sources import Texts, passages
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import Example


@dataclass(frozen=True, slots=True)
class Bands:
    """How a window is filled: `size` passages, at most `positives` relevant ones, the rest spread over the rank bands.

    A band (1, 10) holds the run's ranks 1 to 10. Negatives are those that the qrels grade 0, and those that they do not judge; of a
    query that has none there, passages of lesser grades take their place.
    """

    size: int = 20
    positives: int = 3
    bands: tuple[tuple[int, int], ...] = ((1, 20), (21, 50), (51, 100))
    windows: int = 1
    """of each query, drawn anew"""
    shuffled: bool = False
    """else passages stand in first-stage order; relevant ones that the run lacks come last"""
    share: float | None = None
    """negatives score less than so large a share of the least that a relevant passage scores in the run: those near it may be relevant
    (NV-Retriever, arXiv 2407.15831: 0.95)"""
    seed: int = 0


def from_qrels(
    run: Run, qrels: Qrels, queries: Mapping[str, str], texts: Texts, settings: Bands, selection: Selection
) -> Iterator[Example]:
    """Examples with grades. A query without a relevant passage that has a text, or without negatives, is dropped and counted."""
    for qid, ranked in run.items():
        grades = qrels.get(qid)
        if grades is None:
            selection.drop("the query is not judged", qid)
        elif qid not in queries:
            selection.drop("the query has no text", qid)
        else:
            yield from _windows(ranked, grades, queries[qid], texts, settings, selection)


def _windows(
    ranked: Ranked, grades: Mapping[str, int], query: str, texts: Texts, settings: Bands, selection: Selection
) -> Iterator[Example]:
    rng = np.random.default_rng([settings.seed, *ranked.qid.encode()])
    wanted = [docid for docid, grade in grades.items() if grade > 0]
    there = {passage.docid for passage in passages(texts, [*ranked.docids, *wanted])}
    relevant = [docid for docid in wanted if docid in there]
    if not relevant:
        selection.drop("no relevant passage has a text", ranked.qid)
        return
    bands = _negatives(ranked, there, {docid for docid in there if grades.get(docid, 0) <= 0}, relevant, settings)
    if not any(bands):  # all that was found is relevant, more or less
        best = max(grades[docid] for docid in relevant)
        bands = _negatives(ranked, there, {docid for docid in relevant if grades[docid] < best}, [], settings)
        relevant = [docid for docid in relevant if grades[docid] == best]
    if not any(bands):
        selection.drop("no negatives in the bands", ranked.qid)
        return
    for _ in range(settings.windows):
        chosen = _draw(relevant, min(settings.positives, settings.size - 1), rng)
        chosen += spread(bands, settings.size - len(chosen), rng)
        order = rng.permutation(chosen).tolist() if settings.shuffled else in_first_stage_order(chosen, ranked)
        shown = passages(texts, order)
        yield Example(ranked.qid, query, shown, tuple(float(max(grades.get(passage.docid, 0), 0)) for passage in shown))


def _negatives(ranked: Ranked, there: set[str], worse: set[str], relevant: Sequence[str], settings: Bands) -> list[list[str]]:
    """Of each band, those of `worse` that do not score too near the relevant passages."""
    scores = dict(zip(ranked.docids, ranked.scores.tolist(), strict=True))
    found = [scores[docid] for docid in relevant if docid in scores]
    if settings.share is not None and found:
        least = min(found)
        limit = least - (1.0 - settings.share) * abs(least)  # a share of it; scores may be below 0
        worse = {docid for docid in worse if scores.get(docid, -math.inf) < limit}
    return [[docid for docid in ranked.docids[low - 1 : high] if docid in there and docid in worse] for low, high in settings.bands]


def _draw(docids: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [docids[i] for i in sorted(rng.choice(len(docids), min(count, len(docids)), replace=False).tolist())]


def spread(bands: Sequence[Sequence[str]], count: int, rng: np.random.Generator) -> list[str]:
    """As many of each band as can be; what a short band lacks comes from the others."""
    shares = [count // len(bands) + (i < count % len(bands)) for i in range(len(bands))]
    chosen = [docid for band, share in zip(bands, shares, strict=True) for docid in _draw(band, share, rng)]
    left = [docid for band in bands for docid in band if docid not in set(chosen)]
    return list(dict.fromkeys(chosen + _draw(left, count - len(chosen), rng)))


def in_first_stage_order(docids: Iterable[str], ranked: Ranked) -> list[str]:
    """The run's order; docids that it lacks come last."""
    place = {docid: i for i, docid in enumerate(ranked.docids)}
    return sorted(docids, key=lambda docid: place.get(docid, len(place)))
