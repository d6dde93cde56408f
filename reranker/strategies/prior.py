"""What stands before the model: cheap scorers order all candidates, and the model reads the best of them only.

Pure functions of scores: the cheap scorers themselves are in `scorers/prior.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import Steps, renamed
from firstrank.reranker.types import Outcome, Strategy, View

Floats = NDArray[np.float64]

FIRST_STAGE = "first-stage"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Prior:
    """Cheap scorers that order all candidates before any window; None means "whatever the model's YAML says".

    `sources` are names with weights: `dense:MODEL`, `sparse:MODEL`, `first-stage` (its scores, where it gave some). An empty tuple
    turns the model's own prior off.
    """

    sources: tuple[tuple[str, float], ...] | None = None
    depth: int | None = None
    """so many of the best are read by the model; the others follow in the prior's order. 0 ranks by the prior alone, without a model"""
    fuse: float | None = None
    """the weight of the prior in the final score of those that are read; 0 trusts the model alone"""

    def __post_init__(self) -> None:
        for name, weight in self.sources or ():
            _check(name, weight)
        if self.depth is not None and self.depth < 0:
            raise InputError(f"prior_depth={self.depth}: must be at least 0")
        if self.fuse is not None and not 0 <= self.fuse < float("inf"):
            raise InputError(f"fuse={self.fuse}: is a weight, from 0")
        if self.sources == () and (self.depth is not None or self.fuse is not None):
            raise InputError("prior_depth, fuse: only with a prior")

    def completed(self, own: Prior) -> Prior:
        """What is not said is taken from the model's own prior."""
        if self.sources is not None and self.sources != own.sources:
            return self
        if not own.sources:
            return replace(self, sources=None)
        return Prior(own.sources, own.depth if self.depth is None else self.depth, own.fuse if self.fuse is None else self.fuse)

    def __str__(self) -> str:
        return " + ".join(f"{weight:g} {name}" for name, weight in self.sources or ()) or NONE


@dataclass(frozen=True, slots=True)
class Standing:
    """Of n candidates: `values` (higher is better), and the first `depth` in their order are read."""

    values: tuple[float, ...]
    depth: int
    fuse: float
    name: str

    @classmethod
    def of(cls, values: Floats, prior: Prior) -> Standing:
        depth = len(values) if prior.depth is None else min(prior.depth, len(values))
        return cls(tuple(values.tolist()), depth, prior.fuse or 0.0, str(prior))

    @property
    def has_a_say(self) -> bool:
        """Whether these values are part of the final score."""
        return self.fuse > 0 or self.depth == 0

    @property
    def order(self) -> list[int]:
        """Candidates, best first; ties in first-stage order."""
        return sorted(range(len(self.values)), key=lambda i: (-self.values[i], i))

    def before(self, strategy: Strategy) -> Strategy:
        """The strategy on the best candidates in this order; the others follow. Certifies what it certifies of those it was shown."""

        def ordered(view: View) -> Steps:
            order = self.order
            read, rest = order[: self.depth], order[self.depth :]
            note = f"prior: {self.name}; {len(read)} of {view.n} read"
            if not read:
                return Outcome(rest, 0, (note,))
            shown = view._replace(n=len(read), lengths=[view.lengths[i] for i in read])
            outcome = yield from renamed(strategy(shown), read)
            return replace(outcome, order=[*outcome.order, *rest], notes=(*outcome.notes, note))

        return ordered

    def joined(self, order: Sequence[int], raw: Sequence[float]) -> tuple[list[int], list[float]]:
        """The order and its scores with the prior's share: z-scores of both among those that were read; the others stay behind them.

        `raw` are the scores of `order`, strictly decreasing.
        """
        if not self.depth:
            return list(order), [self.values[i] for i in order]
        read = list(order[: self.depth])
        model, prior = zscores(raw[: self.depth]), zscores([self.values[i] for i in read])
        score = dict(zip(read, (model + self.fuse * prior).tolist(), strict=True))
        read.sort(key=lambda i: -score[i])
        rest = list(order[self.depth :])
        last = score[read[-1]] if read else 0.0
        return [*read, *rest], [*(score[i] for i in read), *(last - place for place in range(1, len(rest) + 1))]


def zscores(values: Sequence[float]) -> Floats:
    """Values with mean 0 and deviation 1; all 0 where they are equal."""
    found = np.array(values, np.float64)
    spread = float(found.std()) if len(found) else 0.0
    return (found - found.mean()) / spread if spread > 0 else np.zeros_like(found)


def sources_of(given: str | Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """`dense:minilm=0.5,sparse:splade-tiny=0.5` (a weight left out is 1), `none`, or a mapping. Raises InputError for another form."""
    if not isinstance(given, str):
        return tuple((name, float(weight)) for name, weight in given.items())
    if given.strip() == NONE:
        return ()
    return tuple(map(_source, given.split(",")))


def _source(text: str) -> tuple[str, float]:
    name, _, weight = text.strip().rpartition("=") if "=" in text else (text.strip(), "", "1")
    try:
        return name, float(weight)
    except ValueError as error:
        raise InputError(f"prior {text!r}: write NAME=WEIGHT, dense:minilm=0.5 for example") from error


def _check(name: str, weight: float) -> None:
    kind, _, model = name.partition(":")
    if name != FIRST_STAGE and (kind not in ("dense", "sparse") or not model):
        raise InputError(f"prior {name!r}: unknown; there are dense:MODEL, sparse:MODEL, {FIRST_STAGE} and {NONE}")
    if not 0 < weight < float("inf"):
        raise InputError(f"prior {name}={weight:g}: a weight must be above 0")
