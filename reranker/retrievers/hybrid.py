"""BM25 and dense retrieval, fused by reciprocal ranks: `hybrid:MODEL`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.retrievers.dense import Dense
from firstrank.reranker.retrievers.fusion import fuse
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked
from firstrank.reranker.texts.sources import read_passages


class Hybrid:
    """Two first stages over one corpus."""

    def __init__(self, sparse: BM25, dense: Dense) -> None:
        self._sparse, self._dense = sparse, dense

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` of the two lists of `depth` passages each."""
        asked = list(queries)
        for pair in zip(self._sparse.search(asked, depth), self._dense.search(asked, depth), strict=True):
            yield fuse(pair, depth)

    def save(self, folder: Path) -> None:
        """The vectors of the dense one."""
        self._dense.save(folder)

    def close(self) -> None:
        self._sparse.close()
        self._dense.close()


def open_retriever(argument: str, corpus: str, language: str | None = None) -> Hybrid:
    """Reads a corpus, indexes it, and encodes it with the model `argument`."""
    passages = list(read_passages(corpus))
    return Hybrid(BM25(passages, language), Dense(argument, passages, len(passages)))
