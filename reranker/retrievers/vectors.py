"""Vectors with ids, on disk and searched exactly: `passages.npy` [n, d] with one id a line in `passages.ids`, and so for queries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import InputError, MachineError, MissingExtra
from firstrank.reranker.runs.files import text_lines, whole_file
from firstrank.reranker.runs.trec import Ranked, trec_order

Floats32 = NDArray[np.float32]

_BLOCK = 1 << 16
"""passages scored at once where FAISS is not installed"""
_SPARE = 16
"""passages looked up beyond the depth, so that ties at the cut go by docid"""


@dataclass(frozen=True, slots=True)
class Vectors:
    """`values[i]`, fp32 of shape [d], belongs to `ids[i]`."""

    ids: tuple[str, ...]
    values: Floats32

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, folder: Path, name: str) -> None:
        """Writes `NAME.npy` and `NAME.ids`, each whole or not at all."""
        part = folder / f".{name}.npy.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.save(file, self.values)
            part.replace(folder / f"{name}.npy")
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise MachineError(f"{folder}: vectors cannot be written: {error.strerror or error}") from error
        with whole_file(folder / f"{name}.ids") as lines:
            lines.writelines(f"{one}\n" for one in self.ids)


def read_vectors(folder: Path, name: str) -> Vectors:
    """What `Vectors.save` wrote, or the passages of a Faiss index of pyserini's.

    Raises InputError where it is not there, is no matrix of finite numbers, or its ids do not fit it.
    """
    path = folder / f"{name}.npy"
    if name == "passages" and not path.is_file() and (folder / "docid").is_file():
        return _of_pyserini(folder)
    if not path.is_file():
        raise InputError(f"{folder}: no {path.name} in this folder; firstrank retrieve --retriever dense:MODEL --save-vectors makes one")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not an array of numpy's: {error}") from error
    ids = tuple(line for _, line in text_lines(folder / f"{name}.ids"))
    if values.ndim != 2 or values.dtype != np.float32:
        raise InputError(f"{path}: float32 of two dimensions is expected, not {values.dtype} of shape {values.shape}")
    if len(ids) != len(values) or len(set(ids)) < len(ids):
        raise InputError(f"{folder}: {name}.ids has {len(set(ids))} different ids for {len(values)} vectors: one a line, each once")
    if not all(np.isfinite(values[start : start + _BLOCK]).all() for start in range(0, len(values), _BLOCK)):
        raise InputError(f"{path}: a vector holds NaN or infinity")
    return Vectors(ids, values)


def _of_pyserini(folder: Path) -> Vectors:
    """The passages of a Faiss index as pyserini keeps it: `index`, and one id a line in `docid`. Raises InputError, MissingExtra."""
    if find_spec("faiss") is None:
        raise MissingExtra("faiss-cpu", "dense", f"{folder}: an index of Faiss's")
    import faiss

    ids = tuple(line.strip() for _, line in text_lines(folder / "docid"))
    try:
        index = faiss.read_index(str(folder / "index"))
        values = index.reconstruct_n(0, index.ntotal)
    except RuntimeError as error:
        raise InputError(f"{folder / 'index'}: its vectors cannot be read: {str(error).splitlines()[0]}") from error
    if len(ids) != len(values):
        raise InputError(f"{folder}: docid has {len(ids)} ids for {len(values)} vectors: one a line")
    return Vectors(ids, np.asarray(values, np.float32))


def search(passages: Vectors, queries: Vectors, depth: int) -> Iterator[Ranked]:
    """The best `depth` passages of each query by inner product, exactly: by FAISS where it is installed, else in blocks.

    Raises InputError where the dimensions differ.
    """
    if passages.values.shape[1] != queries.values.shape[1]:
        raise InputError(f"queries have {queries.values.shape[1]} dimensions, passages {passages.values.shape[1]}: two models made them")
    most = min(depth + _SPARE, len(passages))
    found = _faiss if find_spec("faiss") else _blocks
    scores, places = found(passages.values, np.asarray(queries.values, np.float32), most)
    for qid, row, here in zip(queries.ids, scores, places, strict=True):
        docids = [passages.ids[i] for i in here]
        order = trec_order(docids, row)[:depth]
        yield Ranked(qid, tuple(docids[i] for i in order), row[order])


Found = tuple[Floats32, NDArray[np.int64]]
"""scores and places, [queries, most], best first"""


def _faiss(passages: Floats32, queries: Floats32, most: int) -> Found:
    import faiss

    index = faiss.IndexFlatIP(passages.shape[1])
    for start in range(0, len(passages), _BLOCK):
        index.add(np.ascontiguousarray(passages[start : start + _BLOCK]))
    scores, places = index.search(np.ascontiguousarray(queries), most)
    return scores, places


def _blocks(passages: Floats32, queries: Floats32, most: int) -> Found:
    best = np.empty((len(queries), 0), np.float32)
    places = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(passages), _BLOCK):
        scores = queries @ passages[start : start + _BLOCK].T
        best = np.concatenate([best, scores], axis=1)
        places = np.concatenate([places, np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :most]
        best, places = np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
    return best, places


def rows_of(vectors: Vectors, ids: Sequence[str], what: str, source: str | os.PathLike[str]) -> NDArray[np.int64]:
    """The rows of `ids`. Raises InputError for those that have no vector: how many, and which first."""
    place = {one: i for i, one in enumerate(vectors.ids)}
    if lacking := [one for one in ids if one not in place]:
        some = ", ".join(map(repr, lacking[:5])) + (", …" if len(lacking) > 5 else "")
        raise InputError(f"{source}: no vector for {len(lacking)} of {len(ids)} {what}: {some}")
    return np.array([place[one] for one in ids], np.int64)
