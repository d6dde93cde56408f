"""A scorer whose results get probabilities: the same windows and the same order, and an opinion of every candidate at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firstrank.reranker.calibration.calibration import Calibration, Opinion
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.digests import template_digest, weights_digest
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.scorers.base import Scorer, Session, evidence_of, reading_of, room_of, standing_of
from firstrank.reranker.strategies.prior import Prior
from firstrank.reranker.types import Request, Scores


class CalibratedScorer:
    """`scorer` with its calibration. Owns the scorer. A request with an instruction of its own is ranked, and gets no probabilities."""

    def __init__(self, scorer: Scorer, calibration: Calibration) -> None:
        self.scorer, self.calibration = scorer, calibration
        self.name = scorer.name

    @property
    def concurrency(self) -> int:
        return self.scorer.concurrency

    def open(self, request: Request) -> Session:
        session = self.scorer.open(request)
        return session if request.instruction is not None else CalibratedSession(session, self.calibration, len(request.passages))

    def close(self) -> None:
        self.scorer.close()

    def __getattr__(self, name: str) -> object:
        """Facts of the scorer behind: `device`, `dtype`, `prior` …"""
        return getattr(self.scorer, name)


class CalibratedSession:
    """One request's windows, and what is to be thought of its candidates."""

    def __init__(self, session: Session, calibration: Calibration, n: int) -> None:
        self._session, self._calibration, self._n = session, calibration, n
        self.lengths: Sequence[int] = session.lengths
        self.max_window = session.max_window
        self.room = room_of(session)
        self.reading = reading_of(session)
        self.standing = standing_of(session)

    async def score(self, indices: tuple[int, ...]) -> Scores:
        return await self._session.score(indices)

    def judge(self, readings: Mapping[int, float]) -> Opinion | None:
        return self._calibration.judge(evidence_of(self._session), readings, self._n)

    def close(self) -> None:
        self._session.close()


def why_not(calibration: Calibration, scorer: Scorer) -> str | None:
    """Why a calibration says nothing of this scorer's results, or None: what it looks at must be there."""
    prior = getattr(scorer, "prior", None)
    sources = {name for name, _ in prior.sources or ()} if isinstance(prior, Prior) else set[str]()
    if lacking := sorted(calibration.needs - sources):
        return f"looks at {', '.join(lacking)}, and the prior here has {', '.join(sorted(sources)) or 'nothing'}"
    if calibration.unread is None and isinstance(prior, Prior) and prior.depth is not None:
        return f"says nothing of passages that the model does not read, and it reads {prior.depth} of a query"
    return None


def check_that_it_holds(calibration: Calibration, name: str, spec: ModelSpec, scorer: Scorer) -> None:
    """Raises ModelError where the calibration is of other weights, prompts or arithmetic."""
    arithmetic = getattr(scorer, "dtype", None)
    calibration.holds.check(
        name,
        weights=weights_digest(spec, find_model(name)[1]),
        template=template_digest(spec),
        arithmetic=None if arithmetic is None else str(arithmetic),
    )
