"""BM25 by bm25s: an index in memory, made from the corpus each time.

Lucene's variant with k1 = 1.5, b = 0.75 (bm25s's own defaults); title and text as one field; words of two characters and
more, lower case, without Lucene's 33 English stop words, stemmed by Snowball's English stemmer; in scripts without spaces between
words, neighbouring characters. A language says otherwise (see `firstrank.reranker.retrievers.languages`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import bm25s
import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers.languages import tokenizer_of
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked, trec_order
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage

K1, B = 1.5, 0.75


class BM25:
    """An index of passages. The same passages and queries give the same run, to the bit."""

    def __init__(self, passages: Iterable[Passage], language: str | None = None) -> None:
        """Raises InputError for no passages, a docid that comes twice, or a language that is not known."""
        self._docids: list[str] = []
        self._tokenizer = tokenizer_of(language)
        tokens = self._tokenized(passages)
        if not tokens:
            raise InputError("the corpus holds no passage: there is nothing to search")
        if len(set(self._docids)) < len(tokens):
            [(twice, _)] = Counter(self._docids).most_common(1)
            raise InputError(f"the corpus holds the docid {twice!r} twice")
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        self._index.index((tokens, self._tokenizer.get_vocab_dict()), show_progress=False)

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages that share a word with each query; ties by docid, descending, also at the cut."""
        for query in queries:
            yield self._best(query.qid, self._index.get_scores_from_ids(self._words(query.text)), depth)

    def close(self) -> None:
        """Nothing to free but memory."""

    def _words(self, text: str) -> list[int]:
        """A query's words that the corpus knows."""
        [words] = self._tokenizer.streaming_tokenize([text], update_vocab=False, allow_empty=False)
        return list(words)

    def _best(self, qid: str, scores: NDArray[np.float32], depth: int) -> Ranked:
        best = np.flatnonzero(scores > 0)
        if len(best) > depth:
            best = best[scores[best] >= np.partition(scores[best], -depth)[-depth]]
        docids = [self._docids[i] for i in best]
        order = trec_order(docids, scores[best])[:depth]
        return Ranked(qid, tuple(docids[i] for i in order), scores[best[order]])

    def _tokenized(self, passages: Iterable[Passage]) -> list[list[int]]:
        return list(self._tokenizer.streaming_tokenize(self._remembered(passages)))

    def _remembered(self, passages: Iterable[Passage]) -> Iterator[str]:
        for passage in passages:
            self._docids.append(passage.docid)
            yield f"{passage.title} {passage.text}"


def open_retriever(argument: str, corpus: str, language: str | None = None) -> BM25:
    """Reads and indexes a corpus; BM25 takes no argument."""
    if argument:
        raise InputError(f"bm25 takes no argument, not {argument!r}")
    return BM25(read_passages(corpus), language)
