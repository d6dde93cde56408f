"""What a cascade gains: nDCG@10 against the share of windows that the large scorer sees, for each rule of deferral and for a coin.

The learned rule is fitted on another collection. Beside the rules stand `stake`, which defers by the window's places alone,
and `entropy alone`, `margin alone` and `learned alone`, which leave the places out: they tell how much either part does.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.eval.bench.collection import MEASURE, Collection
from firstrank.eval.significance import paired_t, randomisation
from firstrank.reranker.runs.files import whole_file
from firstrank.reranker.scorers.base import Scorer, Session
from firstrank.reranker.scorers.cascade.deferral import LearnedRule, Rule, discounts, entropy, fit, margin
from firstrank.reranker.scorers.cascade.scorer import CascadeScorer
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Ranking, Request, Scores, Strategy

Deferring = Callable[[Scorer, Scorer, float, int], Scorer]
"""(small, large, budget, seed) -> the two as one"""


@dataclass(frozen=True, slots=True)
class Oracles:
    """The noise of the small and of the large scorer; their draws are independent."""

    small: float
    large: float

    def open(self, collection: Collection, seed: int) -> tuple[OracleScorer, OracleScorer]:
        def scorer(noise: float, own: int) -> OracleScorer:
            return OracleScorer(collection.qrels, OracleOptions(noise=noise, seed=own))

        return scorer(self.small, 2 * seed), scorer(self.large, 2 * seed + 1)


@dataclass(frozen=True, slots=True)
class Models:
    """A small and a large model, loaded once; they draw nothing, so one seed is enough."""

    small: Scorer
    large: Scorer

    def open(self, collection: Collection, seed: int) -> tuple[Scorer, Scorer]:
        return self.small, self.large

    def close(self) -> None:
        self.small.close()
        self.large.close()


def open_models(setup: Setup) -> Models:
    """The two models of a setup with a cascade. Raises what loading them raises."""
    assert setup.cascade is not None
    small, _ = replace(setup, cascade=None).open_scorer()
    try:
        large, _ = replace(setup, model=setup.cascade.model, cascade=None, revision=None).open_scorer()
    except BaseException:
        small.close()
        raise
    return Models(small, large)


Pair = Oracles | Models


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """One rule at one budget."""

    rule: str
    budget: float
    share: float
    """of all windows that were deferred"""
    effectiveness: float
    """nDCG@10, mean over queries and seeds"""
    above_random: float
    """mean difference from random deferral at this budget"""
    paired_t: float
    """p-value of that difference over queries, two-sided (NaN at budgets where the two are the same)"""
    randomisation: float


def fitted(collection: Collection, oracles: Pair, strategy: Strategy, seeds: int) -> LearnedRule:
    """A rule learned from the small scorer's windows on a labelled run."""
    windows: list[tuple[Sequence[float], Sequence[float]]] = []
    for seed in range(seeds):
        small, _ = oracles.open(collection, seed)
        collection.rank(_Recorder(small, collection, windows), strategy)
    return fit(windows)


def measure(
    collection: Collection, oracles: Pair, rule: LearnedRule, strategy: Strategy, budgets: Sequence[float], seeds: int
) -> list[RuleFigures]:
    """A point for each rule and budget, random deferral first."""
    return [point for budget in budgets for point in _at(collection, oracles, rule, strategy, budget, seeds)]


def _at(collection: Collection, oracles: Pair, rule: LearnedRule, strategy: Strategy, budget: float, seeds: int) -> Iterator[RuleFigures]:
    random = np.zeros(0)
    for name, cascade in _cascades(rule).items():
        runs = [collection.rank(cascade(*oracles.open(collection, seed), budget, seed), strategy) for seed in range(seeds)]
        values = np.mean([collection.effectiveness(rankings) for rankings in runs], axis=0)
        random = random if random.size else values
        difference = (values - random)[None, :]
        yield RuleFigures(
            name,
            budget,
            statistics.fmean(_share(rankings) for rankings in runs),
            float(values.mean()),
            float(difference.mean()),
            float(paired_t(difference)[0]),
            float(randomisation(difference)[0]),
        )


def _cascades(learned: LearnedRule) -> dict[str, Deferring]:
    rules: dict[str, Rule] = {"entropy": entropy, "margin": margin, "learned": learned}
    found: dict[str, Deferring] = {"random": lambda small, large, budget, seed: CoinScorer(small, large, budget, seed)}
    found |= {name: _by(rule) for name, rule in rules.items()}
    found |= {"stake": _by(lambda values: 1.0)}
    return found | {f"{name} alone": _by(rule, lambda places: 1.0) for name, rule in rules.items()}


def _by(rule: Rule, stake: Callable[[Sequence[int]], float] = discounts) -> Deferring:
    return lambda small, large, budget, seed: CascadeScorer(small, large, budget=budget, rule=rule, stake=stake)


def _share(rankings: Sequence[Ranking]) -> float:
    windows = [window for ranking in rankings for window in ranking.trace.windows]
    return sum(">" in window.scorer for window in windows) / len(windows)


class CoinScorer:
    """Random deferral: each window goes to the large scorer with the same probability, drawn from the seed, the query and the window."""

    def __init__(self, small: Scorer, large: Scorer, probability: float, seed: int) -> None:
        self.small, self.large, self.probability, self.seed = small, large, probability, seed
        self.name = f"{small.name}>{large.name}"
        self.concurrency = small.concurrency

    def open(self, request: Request) -> _CoinSession:
        return _CoinSession(self, request, self.small.open(request), self.large.open(request))

    def close(self) -> None:
        self.small.close()
        self.large.close()


class _CoinSession:
    def __init__(self, scorer: CoinScorer, request: Request, small: Session, large: Session) -> None:
        self._scorer, self._qid, self._small, self._large = scorer, request.qid, small, large
        self.lengths, self.max_window = small.lengths, small.max_window

    async def score(self, indices: tuple[int, ...]) -> Scores:
        drawn = hashlib.blake2b(repr((self._scorer.seed, self._qid, indices)).encode(), digest_size=8).digest()
        if int.from_bytes(drawn, "big") / 2**64 >= self._scorer.probability:
            return await self._small.score(indices)
        scores = await self._large.score(indices)
        return Scores(scores.values, scores.prompt_tokens, scorer=self._scorer.name)

    def close(self) -> None:
        self._small.close()
        self._large.close()


class _Recorder:
    """A scorer whose windows are kept, with the grades of their candidates."""

    def __init__(self, scorer: Scorer, collection: Collection, windows: list[tuple[Sequence[float], Sequence[float]]]) -> None:
        self._scorer, self._collection, self.windows = scorer, collection, windows
        self.name, self.concurrency = scorer.name, scorer.concurrency

    def open(self, request: Request) -> _RecordedSession:
        grades = self._collection.qrels[request.qid]
        return _RecordedSession(self._scorer.open(request), [max(grades.get(p.docid, 0), 0) for p in request.passages], self.windows)

    def close(self) -> None:
        self._scorer.close()


class _RecordedSession:
    def __init__(self, session: Session, grades: Sequence[float], windows: list[tuple[Sequence[float], Sequence[float]]]) -> None:
        self._session, self._grades, self._windows = session, grades, windows
        self.lengths, self.max_window = session.lengths, session.max_window

    async def score(self, indices: tuple[int, ...]) -> Scores:
        scores = await self._session.score(indices)
        self._windows.append((scores.values, [self._grades[i] for i in indices]))
        return scores

    def close(self) -> None:
        self._session.close()


def write(points: Sequence[RuleFigures], facts: dict[str, Any], output: Path) -> dict[str, Any]:
    """`cascade.json` in the folder `output`; gives what it holds."""
    output.mkdir(parents=True, exist_ok=True)
    found = facts | {"measure": MEASURE, "points": [asdict(point) for point in points]}
    with whole_file(output / "cascade.json") as file:
        file.write(json.dumps(found, indent=1) + "\n")
    return found
