"""Examples that need no judge: grades blend a bi-encoder's cosines with the first stage's scores, and judgments go on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.texts.sources import Texts, passages
from firstrank.reranker.types import Passage
from firstrank.training.data.judged import in_first_stage_order, spread
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import BEST, Example

Floats = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]
"""texts -> unit vectors [texts, d]"""


@dataclass(frozen=True, slots=True)
class Blend:
    """How a query's candidates are chosen and graded.

    `size` candidates come from the run's rank bands in equal shares. Within a query the teachers' scores are spread over [0, 1],
    the first stage's count `first_stage`, the bi-encoder's the rest, and the blend is spread over [0, 3]. A relevant passage gets
    3 + its grade.
    """

    size: int = 24
    bands: tuple[tuple[int, int], ...] = ((1, 10), (11, 30), (31, 100))
    first_stage: float = 0.3
    words: int = 100
    """of a passage that the bi-encoder reads"""
    seed: int = 0


def sampled(run: Run, limit: int | None, seed: int) -> Run:
    """`limit` of a run's queries by chance, in its order; all of them without a limit."""
    if limit is None or limit >= len(run):
        return run
    qids = list(run)
    kept = np.random.default_rng(seed).choice(len(qids), limit, replace=False)
    return Run((run[qids[i]] for i in sorted(kept.tolist())), name=run.name)


def from_teachers(
    run: Run, qrels: Qrels, queries: Mapping[str, str], texts: Texts, encode: Encode, settings: Blend, selection: Selection
) -> Iterator[Example]:
    """A query with fewer than two candidates that have a text is dropped and counted."""
    chosen = {qid: _candidates(ranked, qrels.get(qid, {}), texts, settings) for qid, ranked in run.items()}
    for qid in [qid for qid, shown in chosen.items() if len(shown) < 2 or qid not in queries]:
        selection.drop("fewer than two candidates, or no query text", qid)
        del chosen[qid]
    unique = {passage.docid: head(passage, settings.words) for shown in chosen.values() for passage in shown}
    row = {docid: i for i, docid in enumerate(unique)}
    vectors, asked = encode(list(unique.values())), encode([queries[qid] for qid in chosen])
    for (qid, shown), query in zip(chosen.items(), asked, strict=True):
        cosines = vectors[[row[passage.docid] for passage in shown]] @ query
        yield Example(qid, queries[qid], shown, _grades(shown, cosines, run[qid], qrels.get(qid, {}), settings.first_stage))


def _candidates(ranked: Ranked, judged: Mapping[str, int], texts: Texts, settings: Blend) -> tuple[Passage, ...]:
    """In first-stage order, relevant passages that the run lacks at the end."""
    rng = np.random.default_rng([settings.seed, *ranked.qid.encode()])
    relevant = [docid for docid, grade in judged.items() if grade > 0][: settings.size // 2]
    bands = [[docid for docid in ranked.docids[low - 1 : high] if docid not in relevant] for low, high in settings.bands]
    return passages(texts, in_first_stage_order([*relevant, *spread(bands, settings.size - len(relevant), rng)], ranked))


def _grades(shown: Sequence[Passage], cosines: Floats, ranked: Ranked, judged: Mapping[str, int], share: float) -> tuple[float, ...]:
    scores = dict(zip(ranked.docids, ranked.scores.tolist(), strict=True))
    least = min(scores.values())
    first_stage = np.array([scores.get(passage.docid, least) for passage in shown])
    blend = BEST * blended(cosines, first_stage, share)
    relevant = [judged.get(passage.docid, 0) for passage in shown]
    return tuple(BEST + grade if grade > 0 else round(float(value), 3) for grade, value in zip(relevant, blend, strict=True))


def blended(cosines: Floats, first_stage: Floats, share: float) -> Floats:
    """One query's candidates over [0, 1]: the first stage's scores count `share`, the cosines the rest."""
    return _spread_out((1.0 - share) * _spread_out(cosines) + share * _spread_out(first_stage))


def _spread_out(values: Floats) -> Floats:
    """Over [0, 1]; all 0 where they are equal."""
    width = values.max() - values.min()
    return (values - values.min()) / width if width > 0 else np.zeros_like(values)


def head(passage: Passage, words: int) -> str:
    """What the bi-encoder reads."""
    return " ".join(f"{passage.title} {passage.text}".split()[:words])
