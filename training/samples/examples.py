"""Training examples: one JSON object a line, a query with passages and either a ranking or grades.

`{"qid", "query", "passages": [{"docid", "title"?, "text"}], "ranking": [docid …]}`, or `"grades": {docid: number}` in place of
`ranking`. Passages stand in first-stage order. Files are read at random, a line at a time, whatever their size: what is kept of
one is where its lines begin.
"""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.files import Source, identifier, json_object, name_of, string_field
from firstrank.reranker.runs.records import json_lines
from firstrank.reranker.types import Passage

BEST = 3.0
"""the grade of a ranking's first; its last has 0, and those between stand evenly"""


@dataclass(frozen=True, slots=True)
class Example:
    """A query, its passages in first-stage order, and a grade for each: higher is better, equal ones tie."""

    qid: str
    query: str
    passages: tuple[Passage, ...]
    grades: tuple[float, ...]


class Examples(Sequence[Example]):
    """The examples of several files, one after another. Reads a line when it is asked for; safe to use from several processes."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        """Checks every line. Raises FormatError that names file and line, InputError for a file that is not there."""
        self.paths = [Path(path) for path in paths]
        self._starts = [_line_starts(path) for path in self.paths]
        self._ends = list(accumulate(map(len, self._starts)))
        for i in range(len(self)):
            self[i]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, i: Any) -> Any:
        file = bisect_right(self._ends, i)
        place = i - (self._ends[file - 1] if file else 0)
        with self.paths[file].open("rb") as lines:
            lines.seek(self._starts[file][place])
            name, line = str(self.paths[file]), lines.readline()
        return parse_example(name, place + 1, json_object(name, place + 1, _decoded(name, place + 1, line)))

    def where(self, i: int) -> str:
        """`file:line` of an example."""
        file = bisect_right(self._ends, i)
        return f"{self.paths[file]}:{i - (self._ends[file - 1] if file else 0) + 1}"


def read_examples(source: Source) -> Iterator[tuple[int, Example]]:
    """(line, example) as they come. Raises FormatError for a line that is none."""
    name = name_of(source)
    for number, found in json_lines(source):
        yield number, parse_example(name, number, found)


def as_json(example: Example, ranking: Sequence[str] | None = None) -> dict[str, Any]:
    """An example as its line holds it: with its grades (zeros left out), or with `ranking` in their place."""
    passages = [({"docid": p.docid} | ({"title": p.title} if p.title else {}) | {"text": p.text}) for p in example.passages]
    grades = {p.docid: grade for p, grade in zip(example.passages, example.grades, strict=True) if grade}
    said = {"ranking": list(ranking)} if ranking is not None else {"grades": grades}
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
    return Example(qid, query, passages, grades)


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
    if not isinstance(grades, dict):
        raise FormatError(name, number, f"query {qid!r}: 'grades' must map docids to numbers")
    for docid, grade in grades.items():
        if isinstance(grade, bool) or not isinstance(grade, (int, float)) or not math.isfinite(grade):
            raise FormatError(name, number, f"query {qid!r}: the grade of {docid!r} is {grade!r}, not a finite number")
    _known(name, number, qid, "grades", grades, docids)
    return tuple(float(grades.get(docid, 0.0)) for docid in docids)


def _known(name: str, number: int, qid: str, field: str, named: dict[str, Any], docids: list[str]) -> None:
    known = set(docids)
    if foreign := [docid for docid in named if docid not in known]:
        raise FormatError(name, number, f"query {qid!r}: {field!r} names {foreign[0]!r}, which is not among the passages")


def _passage(name: str, number: int, found: Any) -> Passage:
    if not isinstance(found, dict):
        raise FormatError(name, number, f"a passage is an object with 'docid' and 'text', not {type(found).__name__}")
    title = string_field(name, number, found, ("title",)) if "title" in found else ""
    return Passage(identifier(name, number, found, ("docid",)), string_field(name, number, found, ("text",)), title)


def _line_starts(path: Path) -> array[int]:
    starts, at = array("Q"), 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1 and line[:2] == b"\x1f\x8b":
                    raise FormatError(path, 1, "compressed: training reads examples at random; unpack it first (gunzip)")
                if not line.strip():
                    raise FormatError(path, number, "an empty line")
                starts.append(at)
                at += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not starts:
        raise FormatError(path, 1, "no examples")
    return starts


def _decoded(name: str, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(name, number, f"wrong encoding: {error.reason} at byte {error.start + 1}; save the file as UTF-8") from error
