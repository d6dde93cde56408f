"""A scorer that knows the answers: grades from qrels, with noise on demand. For trying strategies without a model."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.types import Request, Scores


@dataclass(frozen=True, slots=True)
class OracleOptions:
    """How good the oracle is, and how slow."""

    noise: float = 0.0
    """standard deviation of Gaussian noise on the grade scale, drawn anew in each call"""
    place_bias: tuple[float, float] = (0.0, 0.0)
    """what the first and the last candidate of a window gain"""
    seed: int = 0
    seconds: float = 0.0
    """a batch takes so long"""
    batch: int = 64
    """windows a batch"""


class OracleScorer:
    """Scores a candidate by its grade (0 where it is not judged).

    Noise depends on the seed, the query, the docids of the window in their order, and how often the request asked for just
    that window before: not on what else is running. `count` measures a passage for the trace; words, unless told otherwise.
    """

    name = "oracle"
    concurrency = 256

    def __init__(self, qrels: Qrels, options: OracleOptions = OracleOptions(), count: Callable[[str], int] | None = None) -> None:
        self.qrels, self.options = qrels, options
        self.count = count or _words
        self._batcher: Batcher[Scores, Scores] = Batcher(self._wait, max_windows=options.batch, max_tokens=1 << 60)

    def open(self, request: Request) -> OracleSession:
        return OracleSession(self, request)

    async def after_a_while(self, scores: Scores) -> Scores:
        """An answer that is known already, given when its batch would have been scored."""
        return await self._batcher.score(scores, len(scores.values)) if self.options.seconds else scores

    def close(self) -> None:
        self._batcher.close()

    def _wait(self, batch: Sequence[Scores]) -> Sequence[Scores]:
        time.sleep(self.options.seconds)
        return batch


class OracleSession:
    """One query's grades."""

    def __init__(self, scorer: OracleScorer, request: Request) -> None:
        self._scorer, self._options = scorer, scorer.options
        self._qid = request.qid
        self._docids = [passage.docid for passage in request.passages]
        grades = scorer.qrels.get(request.qid, {})
        self._grades = np.array([grades.get(docid, 0) for docid in self._docids], np.float64)
        self._query_length = scorer.count(request.query)
        self._asked: Counter[tuple[int, ...]] = Counter()
        self.lengths = tuple(scorer.count(f"{p.title} {p.text}".strip()) for p in request.passages)
        self.max_window = max(len(self._docids), 1)

    async def score(self, indices: tuple[int, ...]) -> Scores:
        return await self._scorer.after_a_while(self.answer(indices))

    def answer(self, indices: tuple[int, ...]) -> Scores:
        """The grades, biased by place, with this call's noise."""
        values = self._grades[list(indices)]
        values[0] += self._options.place_bias[0]
        values[-1] += self._options.place_bias[1]
        if self._options.noise:
            values += self._draw(indices).normal(0.0, self._options.noise, len(indices))
        tokens = self._query_length + sum(self.lengths[i] for i in indices)
        return Scores(tuple(values.tolist()), prompt_tokens=tokens, scorer=self._scorer.name)

    def close(self) -> None:
        """Nothing is held."""

    def _draw(self, indices: tuple[int, ...]) -> np.random.Generator:
        """A generator for this call alone."""
        self._asked[indices] += 1
        call = (self._options.seed, self._qid, self._asked[indices], *(self._docids[i] for i in indices))
        digest = hashlib.blake2b("\0".join(map(str, call)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _words(text: str) -> int:
    return len(text.split())
