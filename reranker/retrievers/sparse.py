"""Learned sparse retrieval: `sparse:MODEL`. Passages are weights of words, searched exactly by one product of sparse matrices.

The index is kept in the cache, under a hash of the corpus and of the encoder: the same corpus is encoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, load_npz, save_npz, vstack

from firstrank.reranker.config import cache_dir
from firstrank.reranker.encoders.register import open_sparse
from firstrank.reranker.encoders.source import find_encoder
from firstrank.reranker.encoders.sparse import SparseEncoder
from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.models.progress import Progress
from firstrank.reranker.runs.files import text_lines, whole_file
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked, trec_order
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage

_BATCH = 1024


class Sparse:
    """An index of passages."""

    def __init__(self, encoder: SparseEncoder, docids: list[str], matrix: csr_matrix) -> None:
        """Raises InputError for no passages."""
        if not docids:
            raise InputError("the corpus holds no passage: there is nothing to search")
        self._encoder, self._docids, self._matrix = encoder, docids, matrix

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages that share a word with each query; ties by docid, descending, also at the cut."""
        for query in queries:
            scores = np.asarray((self._matrix @ self._encoder.matrix([query.text]).T).todense(), np.float32).ravel()
            best = np.flatnonzero(scores > 0)
            if len(best) > depth:
                best = best[scores[best] >= np.partition(scores[best], -depth)[-depth]]
            docids = [self._docids[i] for i in best]
            order = trec_order(docids, scores[best])[:depth]
            yield Ranked(query.qid, tuple(docids[i] for i in order), scores[best[order]])

    def close(self) -> None:
        """Nothing to free but memory."""


def open_retriever(argument: str, corpus: str) -> Sparse:
    """Reads a corpus and encodes it with the model `argument`, or takes the index from the cache."""
    passages = list(read_passages(corpus))  # before a model is loaded: what is wrong with the corpus is said at once
    encoder = open_sparse(argument)
    folder = cache_dir() / "indexes" / _name(argument, passages)
    found = _read(folder)
    if found is None:
        found = [passage.docid for passage in passages], _encoded(encoder, passages)
        _write(folder, *found)
    return Sparse(encoder, *found)


def _encoded(encoder: SparseEncoder, passages: Sequence[Passage]) -> csr_matrix:
    parts = []
    with Progress("encoding passages", len(passages)) as progress:
        for start in range(0, len(passages), _BATCH):
            batch = passages[start : start + _BATCH]
            parts.append(encoder.matrix([f"{passage.title} {passage.text}".strip() for passage in batch]))
            progress.advance(len(batch))
    return vstack(parts, format="csr") if parts else csr_matrix((0, 0), dtype=np.float32)


def _name(model: str, passages: Iterable[Passage]) -> str:
    """What tells one index from another."""
    spec, folder = find_encoder(model, "sparse")
    digest = hashlib.sha256(f"1 {spec!r} {folder}".encode())
    for passage in passages:
        digest.update(repr((passage.docid, passage.title, passage.text)).encode("utf-8", "surrogatepass"))
    return f"sparse-{digest.hexdigest()[:16]}"


def _read(folder: Path) -> tuple[list[str], csr_matrix] | None:
    """The index, if it is there and whole: the ids are written last."""
    ids, matrix = folder / "passages.ids", folder / "passages.npz"
    if not ids.is_file():
        return None
    with suppress(OSError, ValueError, InputError):
        return [docid for _, docid in text_lines(ids)], csr_matrix(load_npz(matrix))
    return None


def _write(folder: Path, docids: list[str], matrix: csr_matrix) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / ".passages.part.npz"
        save_npz(part, matrix, compressed=False)
        part.replace(folder / "passages.npz")
        with whole_file(folder / "passages.ids") as lines:
            lines.writelines(f"{docid}\n" for docid in docids)
    except OSError as error:
        raise MachineError(f"{folder}: the index cannot be written ({error.strerror or error}); set FIRSTRANK_CACHE") from error
