"""TREC runs: strict reader, safe writer.

A run is read as trec_eval reads it: by score, descending, compared as float32; ties by docid, descending; the rank column
is ignored. It is written so that trec_eval reads it back in the same order: float32 scores, strictly decreasing.
"""

from __future__ import annotations

import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.alignment import strictly_decreasing
from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.files import FLOAT32_LIMIT, Source, byte_lines, name_of, whole_file

Floats32 = NDArray[np.float32]

_WHITE = re.compile(r"[ \t\n\r\v\f]")


class Ranked(NamedTuple):
    """One query's candidates, best first."""

    qid: str
    docids: tuple[str, ...]
    scores: Floats32
    """as many as docids, non-increasing"""

    def top(self, depth: int) -> Ranked:
        """The first `depth` candidates."""
        return Ranked(self.qid, self.docids[:depth], self.scores[:depth])

    def without(self, docid: str) -> Ranked:
        """All candidates but `docid`: `--drop-self` calls it with the qid."""
        if docid not in self.docids:
            return self
        place = self.docids.index(docid)
        return Ranked(self.qid, self.docids[:place] + self.docids[place + 1 :], np.delete(self.scores, place))


class Run(Mapping[str, Ranked]):
    """qid -> Ranked, queries in the order of their first appearance.

    Compact: a row costs its docid's bytes and 5 more, so a million rows stay in tens of megabytes.
    """

    def __init__(self, ranked: Iterable[Ranked] = (), *, name: str = "<run>") -> None:
        self.name = name
        self._packed: dict[str, tuple[bytes | tuple[str, ...], Floats32]] = {}
        for one in ranked:
            self._packed[one.qid] = _pack(one.docids, one.scores)

    def __getitem__(self, qid: str) -> Ranked:
        docids, scores = self._packed[qid]
        if isinstance(docids, bytes):
            docids = tuple(docids.decode().split("\n"))
        return Ranked(qid, docids, scores)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def first(self, queries: int | None) -> Run:
        """The run of its first queries; None is all."""
        if queries is None:
            return self
        found = Run(name=self.name)
        found._packed = dict(islice(self._packed.items(), queries))
        return found

    def docids(self, depth: int | None = None) -> Iterator[str]:
        """The docids of all queries, one query after another, `depth` of each; one in several lists comes several times."""
        for ranked in self.values():
            yield from ranked.docids[:depth]

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """(qid, docid, score), in order."""
        for ranked in self.values():
            for docid, score in zip(ranked.docids, ranked.scores.tolist(), strict=True):
                yield ranked.qid, docid, score


class Row(NamedTuple):
    """One line of a run. `score` is a finite number that float32 can hold."""

    line: int
    qid: bytes
    docid: bytes
    score: float


def run_rows(source: Source) -> Iterator[Row]:
    """The lines of a TREC run (`qid Q0 docid rank score tag`), as they come.

    Raises FormatError for a line without exactly six columns, for a score that is no finite float32, for wrong encoding.
    """
    name = name_of(source)
    for number, line in byte_lines(source):
        columns = line.split()
        if len(columns) != 6:
            raise FormatError(name, number, f"{len(columns)} columns; a run has six: qid Q0 docid rank score tag")
        yield Row(number, columns[0], columns[2], _score(name, number, columns[4]))


def read_run(source: Source) -> Run:
    """A whole run, each query in trec_eval's order; a query's lines need not stand together.

    Raises FormatError as `run_rows` does, and for a docid that a query has twice, and for a run without a line.
    """
    name = name_of(source)
    lists: dict[bytes, _Lines] = {}
    for row in run_rows(source):
        lines = lists.get(row.qid)
        if lines is None:
            lines = lists[row.qid] = _Lines()
        lines.add(row)
    if not lists:
        raise FormatError(name, 1, "the run is empty: no line `qid Q0 docid rank score tag`")
    run = Run(name=name)
    for qid in list(lists):
        run._packed[qid.decode()] = lists.pop(qid).packed(name, qid)
    return run


def write_run(path: str | os.PathLike[str], ranked: Iterable[Ranked], tag: str = "firstrank") -> None:
    """Writes a TREC run, whole or not at all; gzip if the name ends in `.gz`.

    Scores are rounded to float32; those that tie are lowered to the next float32, so that they strictly decrease. Raises
    InputError for a score that is not finite or larger than the one before it, a docid or qid that the format cannot hold,
    a query or a query's docid that comes twice.
    """
    written: set[str] = set()
    with whole_file(path) as file:
        for one in ranked:
            _check_names(one, written)
            written.add(one.qid)
            scores = _strict(one)
            file.writelines(
                f"{one.qid} Q0 {docid} {rank} {score:.9g} {tag}\n"
                for rank, (docid, score) in enumerate(zip(one.docids, scores.tolist(), strict=True), 1)
            )


def trec_order(docids: Sequence[str], scores: Sequence[float] | Floats32) -> list[int]:
    """The order in which trec_eval reads candidates: indices by float32 score, descending, ties by docid, descending."""
    rounded = np.asarray(scores, np.float32).tolist()
    return sorted(range(len(docids)), key=lambda i: (rounded[i], docids[i]), reverse=True)


@dataclass(slots=True)
class _Lines:
    """One query's lines while a run is read: flat, for they are many."""

    docids: bytearray = field(default_factory=bytearray)
    scores: array[float] = field(default_factory=lambda: array("f"))
    lines: array[int] = field(default_factory=lambda: array("I"))

    def add(self, row: Row) -> None:
        self.docids += row.docid + b"\n"
        self.scores.append(row.score)
        self.lines.append(row.line)

    def packed(self, name: str, qid: bytes) -> tuple[bytes | tuple[str, ...], Floats32]:
        docids = self.docids[:-1].decode().split("\n")
        if len(set(docids)) < len(docids):
            self._refuse_duplicate(name, qid, docids)
        scores = np.array(self.scores, np.float32)
        order = trec_order(docids, scores)
        return _pack([docids[i] for i in order], scores[order])

    def _refuse_duplicate(self, name: str, qid: bytes, docids: list[str]) -> None:
        first: dict[str, int] = {}
        for docid, line in zip(docids, self.lines, strict=True):
            if docid in first:
                problem = f"docid {docid!r} comes twice for query {qid.decode()!r} (first on line {first[docid]})"
                raise FormatError(name, line, problem)
            first[docid] = line


def _pack(docids: Sequence[str], scores: Floats32) -> tuple[bytes | tuple[str, ...], Floats32]:
    """The docids as lines, or as they are where there is none or one of them holds a line break (JSONL's may)."""
    packed = "\n".join(docids)
    whole = packed.count("\n") == len(docids) - 1
    return packed.encode() if whole else tuple(docids), np.asarray(scores, np.float32)


def _score(name: str, number: int, column: bytes) -> float:
    try:
        score = float(column) if b"_" not in column else math.nan
    except ValueError:
        raise FormatError(name, number, f"the score {column.decode()!r} is not a number") from None
    if not math.isfinite(score):
        raise FormatError(name, number, f"the score {column.decode()!r} is not a finite number")
    if abs(score) >= FLOAT32_LIMIT:
        raise FormatError(name, number, f"the score {column.decode()!r} is too large for float32, in which runs are compared")
    return score


def _check_names(one: Ranked, written: set[str]) -> None:
    if one.qid in written:
        raise InputError(f"query {one.qid!r} comes twice: a run holds one list a query")
    if len(set(one.docids)) < len(one.docids):
        raise InputError(f"query {one.qid!r} has a docid twice: a run cannot hold that")
    for name in (one.qid, *one.docids):
        if not name or _WHITE.search(name):
            raise InputError(f"the id {name!r} (query {one.qid!r}) is empty or holds white space: a TREC run cannot hold it")


def _strict(one: Ranked) -> Floats32:
    scores = np.array(one.scores, np.float32)
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(f"query {one.qid!r}: the score of {one.docids[place]!r} is {one.scores[place]}, not a finite float32")
    if (np.diff(scores) > 0).any():
        place = int(np.flatnonzero(np.diff(scores) > 0)[0]) + 1
        raise InputError(f"query {one.qid!r}: {one.docids[place]!r} scores higher than the candidate before it")
    return strictly_decreasing(scores)
