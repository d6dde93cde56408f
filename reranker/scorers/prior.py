"""A scorer with a prior before it: cheap scorers order all candidates, and the model reads the best of them only.

What the prior says is fused by z-scores within a request, so that neither the scale nor the level of a cheap scorer matters. The executor
asks the session for its `standing`, shows the strategy the best candidates in the prior's order, and joins both scores at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.encoders.register import open_dense, open_sparse
from firstrank.reranker.encoders.sparse import SparseEncoder
from firstrank.reranker.errors import ScorerError
from firstrank.reranker.models.arithmetic import best_for, units
from firstrank.reranker.models.turns import CPU_TURN
from firstrank.reranker.scorers.base import Scorer, Session, reading_of, room_of
from firstrank.reranker.strategies.prior import FIRST_STAGE, Prior, Standing, zscores
from firstrank.reranker.types import Request, Scores

Floats = NDArray[np.float64]
Source = Callable[[Request], Floats]
"""a request -> a score of each candidate, higher is better"""


class PriorScorer:
    """`scorer` behind a prior. Owns the scorer. Raises ModelError for an encoder that cannot be loaded."""

    def __init__(self, scorer: Scorer, prior: Prior) -> None:
        self.scorer, self.prior = scorer, prior
        self.name = scorer.name
        self._sources = {name: (weight, source_of(name)) for name, weight in prior.sources or ()}

    @property
    def concurrency(self) -> int:
        return self.scorer.concurrency

    def open(self, request: Request) -> PriorSession:
        with CPU_TURN:
            values = {name: (weight, source(request)) for name, (weight, source) in self._sources.items()}
        standing = Standing.of(fused([*values.values()]), self.prior)
        evidence = {name: found for name, (_, found) in values.items() if name != FIRST_STAGE}
        return PriorSession(self.scorer.open(request), standing, evidence)

    def close(self) -> None:
        self.scorer.close()

    def __getattr__(self, name: str) -> object:
        """Facts of the scorer behind: `device`, `dtype`, `alive` …"""
        return getattr(self.scorer, name)


class Unread:
    """In the model's place where a prior ranks alone: no window is ever asked of it."""

    name = "prior"
    concurrency = 2

    def open(self, request: Request) -> UnreadSession:
        return UnreadSession(len(request.passages))

    def close(self) -> None:
        """Nothing is held."""


class UnreadSession:
    """A request whose candidates nobody reads."""

    def __init__(self, n: int) -> None:
        self.lengths: Sequence[int] = (0,) * n
        self.max_window = n

    async def score(self, indices: tuple[int, ...]) -> Scores:
        raise ScorerError("a prior that ranks alone reads no window")

    def close(self) -> None:
        """Nothing is held."""


class PriorSession:
    """One request's windows, and how its candidates stand before any is read."""

    def __init__(self, session: Session, standing: Standing, evidence: Mapping[str, Floats] = MappingProxyType({})) -> None:
        self._session, self.standing, self.evidence = session, standing, evidence
        self.lengths: Sequence[int] = session.lengths
        self.max_window = session.max_window
        self.room = room_of(session)
        self.reading = reading_of(session)

    async def score(self, indices: tuple[int, ...]) -> Scores:
        return await self._session.score(indices)

    def close(self) -> None:
        self._session.close()


def source_of(name: str) -> Source:
    """A cheap scorer by name, loaded."""
    kind, _, model = name.partition(":")
    if name == FIRST_STAGE:
        return _first_stage
    if kind == "dense":
        encode = open_dense(model, best_for(units()))
        return lambda request: (encode(_texts(request)) @ encode([request.query])[0]).astype(np.float64)
    sparse = open_sparse(model)
    return lambda request: _covered(sparse, request)


def _covered(sparse: SparseEncoder, request: Request) -> Floats:
    """How much of the query each text covers: their dot product, as a share of the query's with itself; so queries are comparable."""
    query = sparse.words(request.query)
    own = float(query.weights @ query.weights)
    return sparse.scores(query, _texts(request)).astype(np.float64) / (own or 1.0)


def fused(parts: Sequence[tuple[float, Floats]]) -> Floats:
    """The weighted sum of z-scores, itself as z-scores."""
    return zscores(np.sum([weight * zscores(values.tolist()) for weight, values in parts], axis=0).tolist())


def _texts(request: Request) -> list[str]:
    return [f"{passage.title} {passage.text}".strip() for passage in request.passages]


def _first_stage(request: Request) -> Floats:
    """The first stage's own scores; nothing where it gave none, so that the order in which a client sends texts has no say."""
    return np.array(request.first_stage, np.float64) if request.first_stage is not None else np.zeros(len(request.passages))
