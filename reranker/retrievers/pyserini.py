"""A first stage that searches a Lucene index with pyserini: BM25 as Anserini sets it (k1 = 0.9, b = 0.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked, trec_order
from firstrank.reranker.texts import jvm
from firstrank.reranker.texts.lucene import open_searcher

_BATCH = 256


class Lucene:
    """A Lucene index on disk."""

    def __init__(self, index: str) -> None:
        """Raises InputError for a folder without an index, MissingExtra."""
        self._index = index
        self._searcher = open_searcher(index)

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages of each query; ties by docid, descending."""
        queries = iter(queries)
        while batch := list(islice(queries, _BATCH)):
            found = self._batch(batch, depth)
            for query in batch:
                yield _ranked(query.qid, found.get(query.qid, []))

    def close(self) -> None:
        with jvm.LOCK:
            self._searcher.close()

    def _batch(self, queries: list[Query], depth: int) -> dict[str, list[tuple[str, float]]]:
        """qid -> (docid, score) of its hits: plain objects, for Java's are not safe elsewhere."""
        texts, qids = [query.text for query in queries], [query.qid for query in queries]
        with jvm.LOCK, jvm.faults(f"{self._index}: cannot be searched"):
            found = self._searcher.batch_search(texts, qids, k=depth, threads=os.cpu_count() or 1)
            return {qid: [(hit.docid, hit.score) for hit in hits] for qid, hits in found.items()}


def open_retriever(argument: str, corpus: str) -> Lucene:
    """The index in the folder `argument`; it holds the corpus, so `corpus` is not read."""
    return Lucene(argument)


def _ranked(qid: str, hits: list[tuple[str, float]]) -> Ranked:
    docids = [docid for docid, _ in hits]
    scores = np.array([score for _, score in hits], np.float32)
    order = trec_order(docids, scores)
    return Ranked(qid, tuple(docids[i] for i in order), scores[order])
