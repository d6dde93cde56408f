"""Training examples: one JSON object a line, a query with passages and either a ranking or grades.

`{"qid", "query", "passages": [{"docid", "title"?, "text"}], "ranking": [docid …]}`, or `"grades": {docid: number}` in place of
`ranking`; `"scores": {docid: number}` beside either are a teacher's own. Passages stand in first-stage order. Files are read at
random, a line at a time, whatever their size: what is kept of one is where its lines begin. Empty lines are skipped.
"""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.files import identifier, json_object, string_field
from firstrank.reranker.types import Passage

BEST = 3.0
"""the grade of a ranking's first; its last has 0, and those between stand evenly"""
NO_EXAMPLES = "no examples"


@dataclass(frozen=True, slots=True)
class Example:
    """A query, its passages in first-stage order, and a grade for each: higher is better, equal ones tie."""

    qid: str
    query: str
    passages: tuple[Passage, ...]
    grades: tuple[float, ...]
    scores: tuple[float, ...] | None = None
    """a teacher's own, for losses that learn from them"""

    @property
    def tells(self) -> bool:
        """Whether anything is better than anything else."""
        return len(set(self.grades)) > 1


class Examples(Sequence[Example]):
    """The examples of several files, one after another. Reads a line when it is asked for; safe to use from several processes."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        """Checks every line. Raises FormatError that names file and line, InputError for a file that is not there."""
        self.paths = [Path(path) for path in paths]
        self.hashes: dict[str, str] = {}
        """file -> sha256 of its bytes"""
        self._lines = [self._index(path) for path in self.paths]
        self._ends = list(accumulate(len(starts) for starts, _ in self._lines))
        for i in range(len(self)):
            self[i]

    @property
    def sizes(self) -> list[int]:
        """Examples of each file."""
        return [len(starts) for starts, _ in self._lines]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, i: Any) -> Any:
        file, place = self._place(i)
        with self.paths[file].open("rb") as lines:
            lines.seek(self._lines[file][0][place])
            line = lines.readline()
        return example_of(self.paths[file], self._lines[file][1][place], line)

    def where(self, i: int) -> str:
        """`file:line` of an example."""
        file, place = self._place(i)
        return f"{self.paths[file]}:{self._lines[file][1][place]}"

    def _place(self, i: int) -> tuple[int, int]:
        file = bisect_right(self._ends, i)
        return file, i - (self._ends[file - 1] if file else 0)

    def _index(self, path: Path) -> tuple[array[int], array[int]]:
        """Where each line with an example begins, and its number."""
        starts, numbers, digest = array("Q"), array("Q"), sha256()
        for number, start, _ in example_lines(path, digest):
            starts.append(start)
            numbers.append(number)
        self.hashes[str(path)] = digest.hexdigest()
        if not starts:
            raise FormatError(path, 1, NO_EXAMPLES)
        return starts, numbers


def example_lines(path: Path, digest: Any = None) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, bytes) of each line that is not empty; all bytes go into `digest` too.

    Raises InputError for a file that cannot be read, FormatError for a compressed one.
    """
    at = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1 and line[:2] == b"\x1f\x8b":
                    raise FormatError(path, 1, "compressed: training reads examples at random; unpack it first (gunzip)")
                if digest is not None:
                    digest.update(line)
                if line.strip():
                    yield number, at, line
                at += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def example_of(path: Path, number: int, line: bytes) -> Example:
    """The example on a line. Raises FormatError that says what is wrong with it."""
    name = str(path)
    return parse_example(name, number, json_object(name, number, _decoded(name, number, line)))


def as_json(example: Example, ranking: Sequence[str] | None = None) -> dict[str, Any]:
    """An example as its line holds it: with its grades (zeros left out), or with `ranking` in their place; and its scores."""
    passages = [({"docid": p.docid} | ({"title": p.title} if p.title else {}) | {"text": p.text}) for p in example.passages]
    grades = {p.docid: grade for p, grade in zip(example.passages, example.grades, strict=True) if grade}
    said: dict[str, Any] = {"ranking": list(ranking)} if ranking is not None else {"grades": grades}
    if example.scores is not None:
        said["scores"] = {p.docid: score for p, score in zip(example.passages, example.scores, strict=True)}
    return {"qid": example.qid, "query": example.query, "passages": passages} | said


def parse_example(name: str, number: int, found: dict[str, Any]) -> Example:
    """The example of one line. Raises FormatError that says what is wrong with it."""
    qid, query = identifier(name, number, found, ("qid",)), string_field(name, number, found, ("query",))
    listed = found.get("passages")
    if not isinstance(listed, list) or len(listed) < 1:
        raise FormatError(name, number, f"query {qid!r}: 'passages' must be a list of at least one")
    passages = tuple(_passage(name, number, passage) for passage in listed)
    docids = [passage.docid for passage in passages]
    if len(set(docids)) < len(docids):
        twice = next(docid for i, docid in enumerate(docids) if docid in docids[:i])
        raise FormatError(name, number, f"query {qid!r}: docid {twice!r} is there twice")
    if ("ranking" in found) == ("grades" in found):
        raise FormatError(name, number, f"query {qid!r}: give either 'ranking' or 'grades'")
    if "ranking" in found:
        grades = _from_ranking(name, number, qid, found["ranking"], docids)
    else:
        grades = _from_grades(name, number, qid, found["grades"], docids)
    scores = _scores(name, number, qid, found["scores"], docids) if "scores" in found else None
    return Example(qid, query, passages, grades, scores)


def _from_ranking(name: str, number: int, qid: str, ranking: Any, docids: list[str]) -> tuple[float, ...]:
    if not isinstance(ranking, list) or not all(isinstance(docid, (str, int)) for docid in ranking):
        raise FormatError(name, number, f"query {qid!r}: 'ranking' must be a list of docids")
    place = {str(docid): i for i, docid in enumerate(ranking)}
    _known(name, number, qid, "ranking", place, docids)
    if len(place) < len(ranking):
        raise FormatError(name, number, f"query {qid!r}: 'ranking' has a docid twice")
    if absent := [docid for docid in docids if docid not in place]:
        raise FormatError(name, number, f"query {qid!r}: 'ranking' leaves out {len(absent)} passages, {absent[0]!r} first")
    return tuple(BEST * (1.0 - place[docid] / max(len(docids) - 1, 1)) for docid in docids)


def _from_grades(name: str, number: int, qid: str, grades: Any, docids: list[str]) -> tuple[float, ...]:
    _check_numbers(name, number, qid, "grades", grades, docids)
    return tuple(float(grades.get(docid, 0.0)) for docid in docids)


def _scores(name: str, number: int, qid: str, scores: Any, docids: list[str]) -> tuple[float, ...]:
    _check_numbers(name, number, qid, "scores", scores, docids)
    if absent := [docid for docid in docids if docid not in scores]:
        raise FormatError(name, number, f"query {qid!r}: 'scores' leaves out {len(absent)} passages, {absent[0]!r} first")
    return tuple(float(scores[docid]) for docid in docids)


def _check_numbers(name: str, number: int, qid: str, field: str, found: Any, docids: list[str]) -> None:
    if not isinstance(found, dict):
        raise FormatError(name, number, f"query {qid!r}: {field!r} must map docids to numbers")
    for docid, value in found.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise FormatError(name, number, f"query {qid!r}: the {field[:-1]} of {docid!r} is {value!r}, not a finite number")
    _known(name, number, qid, field, found, docids)


def _known(name: str, number: int, qid: str, field: str, named: dict[str, Any], docids: list[str]) -> None:
    known = set(docids)
    if foreign := [docid for docid in named if docid not in known]:
        raise FormatError(name, number, f"query {qid!r}: {field!r} names {foreign[0]!r}, which is not among the passages")


def _passage(name: str, number: int, found: Any) -> Passage:
    if not isinstance(found, dict):
        raise FormatError(name, number, f"a passage is an object with 'docid' and 'text', not {type(found).__name__}")
    title = string_field(name, number, found, ("title",)) if "title" in found else ""
    return Passage(identifier(name, number, found, ("docid",)), string_field(name, number, found, ("text",)), title)


def _decoded(name: str, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(name, number, f"wrong encoding: {error.reason} at byte {error.start + 1}; save the file as UTF-8") from error
