"""An example -> the window that is shown of it: which passages, in which order, cut where. A function of the sample's number alone.

Windows grow, negatives get harder and passages longer as the recipe's `draw` says; whatever is drawn comes from a generator that
is seeded by the run's seed and the sample's number, so that neither a resume nor the number of workers or processes changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from firstrank.reranker.types import Passage, Request
from firstrank.training.samples.examples import Example
from firstrank.training.sections import Draw

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Drawn:
    """A window: a request whose passages stand as they are shown, and what is known of each of them."""

    request: Request
    grades: tuple[float, ...]
    places: tuple[int, ...]
    """in the first stage, from 0; passages of other examples come after all of the example's own"""
    scores: tuple[float, ...] | None = None
    """a teacher's; passages of other examples have the least"""


class Shuffle:
    """The example behind a sample's number: every epoch is another permutation of all examples.

    With `weights` an epoch takes each example of a file so many times; of a part, another random one each epoch.
    """

    def __init__(self, sizes: Sequence[int], seed: int, weights: Sequence[float] | None = None) -> None:
        self._sizes, self._seed = sizes, seed
        self._weights = weights or [1.0] * len(sizes)
        self._permutation = lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        """Samples of an epoch."""
        return sum(map(_times, self._sizes, self._weights))

    def __getitem__(self, sample: int) -> int:
        epoch, place = divmod(sample, len(self))
        return int(self._permutation(epoch)[place])

    def _shuffled(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((self._seed, epoch))
        taken, start = [], 0
        for size, weight in zip(self._sizes, self._weights, strict=True):
            whole, part = divmod(_times(size, weight), size)
            taken += [np.arange(start, start + size)] * whole
            if part:
                taken.append(start + rng.choice(size, part, replace=False))
            start += size
        return rng.permutation(np.concatenate(taken))


def _times(size: int, weight: float) -> int:
    """How many samples of an epoch come from a file: one at least."""
    return max(1, round(size * weight))


@dataclass(frozen=True, slots=True)
class Extent:
    """What windows that are alike share."""

    size: int | None
    """passages; None for all of the example's"""
    passage_tokens: int | None
    """where passages are cut; None for nowhere"""


def extent_of(settings: Draw, progress: float, rng: np.random.Generator) -> Extent:
    """A size, then a cut, within the recipe's ranges."""

    size = None if settings.window is None else _between(*settings.window.at(progress), rng)
    if settings.passage_tokens is None:
        return Extent(size, None)
    least, most = settings.passage_tokens.at(progress)
    if settings.tokens is not None and size is not None:
        most = max(least, min(most, settings.tokens // size))
    return Extent(size, _between(least, most, rng))


def _between(low: int, high: int, rng: np.random.Generator) -> int:
    return int(rng.integers(low, high + 1))


def draw(example: Example, others: Sequence[Example], settings: Draw, extent: Extent, progress: float, rng: np.random.Generator) -> Drawn:
    """A window of `example`; `others` are the examples that easy negatives are taken from."""
    own, foreign = _counts(example, extent.size, settings.random_negatives.at(progress), rng)
    places = _chosen(example.grades, own, rng)
    passages = [example.passages[i] for i in places]
    grades = [example.grades[i] for i in places]
    least = min(0.0, *example.grades)
    for passage in _foreign(example, others, foreign, rng):
        places.append(len(example.passages) + len(places))
        passages.append(passage)
        grades.append(least)
    order = _shown(places, len(example.passages), rng.random() < settings.first_stage.at(progress), rng)
    request = Request(example.query, tuple(passages[i] for i in order), example.qid, extent.passage_tokens)
    known = example.scores
    scores = None if known is None else tuple(known[places[i]] if places[i] < len(known) else min(known) for i in order)
    return Drawn(request, tuple(grades[i] for i in order), tuple(places[i] for i in order), scores)


def most_drawn(example: Example, settings: Draw) -> int:
    """The most passages that a window of `example` is ever drawn with."""
    have = len(example.passages)
    if settings.window is None:
        return have
    return settings.window.most if settings.random_negatives.ever else min(have, settings.window.most)


def _counts(example: Example, size: int | None, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """How many passages of the example, and how many of others: about `share` of the rivals."""
    have = len(example.passages)
    size = have if size is None else size
    foreign = int(rng.binomial(size - 1, min(max(share, 0.0), 1.0))) if size > 1 else 0
    return min(have, size - foreign), foreign


def _chosen(grades: tuple[float, ...], count: int, rng: np.random.Generator) -> list[int]:
    """Places of `count` passages, in order: one that is better than the worst, one that is worse than it, the rest by chance."""
    if count >= len(grades):
        return list(range(len(grades)))
    good = [i for i, grade in enumerate(grades) if grade > min(grades)]
    chosen = [int(rng.choice(good))] if good else []
    if good and count > 1:
        chosen.append(int(rng.choice([i for i, grade in enumerate(grades) if grade < grades[chosen[0]]])))
    rest = [i for i in range(len(grades)) if i not in chosen]
    return sorted(chosen + rng.choice(rest, count - len(chosen), replace=False).tolist())


def _foreign(example: Example, others: Sequence[Example], count: int, rng: np.random.Generator) -> list[Passage]:
    """Passages of other queries' examples, each once; fewer where there are none to be found."""
    taken = {passage.docid for passage in example.passages}
    found: list[Passage] = []
    for _ in range(count * _TRIES):
        if len(found) == count:
            break
        other = others[int(rng.integers(len(others)))]
        passage = other.passages[int(rng.integers(len(other.passages)))]
        if other.qid != example.qid and passage.docid not in taken:
            taken.add(passage.docid)
            found.append(passage)
    return found


def _shown(places: list[int], own: int, first_stage: bool, rng: np.random.Generator) -> list[int]:
    """Indices in the order in which the passages are shown; in first-stage order those of other examples come in anywhere."""
    if not first_stage:
        shuffled: list[int] = rng.permutation(len(places)).tolist()
        return shuffled
    order = [i for i, place in enumerate(places) if place < own]
    for i in range(len(order), len(places)):
        order.insert(int(rng.integers(len(order) + 1)), i)
    return order
