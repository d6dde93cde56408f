"""BM25 with pseudo relevance feedback after RM3 (Abdul-Jaleel et al., TREC 2004), by bm25s: the baseline that needs no reranker.

The first ten passages of a BM25 search, each weighted by its score, give the ten words that are most frequent in them; half of
the second query's weight is on these, half on the words asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage

PASSAGES, WORDS = 10, 10


class RM3(BM25):
    """An index of passages, each query asked twice."""

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages of the second search."""
        for query in queries:
            words = self._words(query.text)
            scores = self._index.get_scores_from_ids(words)
            for word, weight in self._expanded(words, scores).items():
                scores = scores + weight * self._index.get_scores_from_ids([word])
            yield self._best(query.qid, scores, depth)

    def _expanded(self, words: Sequence[int], scores: NDArray[np.float32]) -> dict[int, float]:
        """The relevance model's words; their weights sum to that of the query's own."""
        model: Counter[int] = Counter()
        for i in np.argsort(-scores, kind="stable")[:PASSAGES]:
            counts = Counter(self._tokens[i])
            model.update({word: float(scores[i]) * count / counts.total() for word, count in counts.items()})
        best = sorted(((word, weight) for word, weight in model.items() if weight > 0), key=lambda item: (-item[1], item[0]))[:WORDS]
        whole = sum(weight for _, weight in best)
        return {word: weight / whole * len(words) for word, weight in best}

    def _tokenized(self, passages: Iterable[Passage]) -> list[list[int]]:
        self._tokens = super()._tokenized(passages)
        return self._tokens


def open_retriever(argument: str, corpus: str, language: str | None = None) -> RM3:
    """Reads and indexes a corpus; RM3 takes no argument."""
    if argument:
        raise InputError(f"rm3 takes no argument, not {argument!r}")
    return RM3(read_passages(corpus), language)
