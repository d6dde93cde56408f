"""Relevance judgments: TREC or BEIR form, JSONL, a BEIR folder, `ir_datasets:ID`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs import irds
from firstrank.reranker.runs.files import Source, identifier, json_object, name_of, named_in
from firstrank.reranker.runs.records import records

Qrels = dict[str, dict[str, int]]
"""qid -> docid -> grade"""

_QID = ("query-id", "query_id", "qid", "_id")
_DOCID = ("corpus-id", "corpus_id", "docid", "doc_id", "docno")
_FORMS = "`qid 0 docid grade` (TREC) or `query-id<TAB>corpus-id<TAB>score` (BEIR)"
_GRADE = ("score", "grade", "relevance", "rel", "label")


class Judgment(NamedTuple):
    """One line of qrels; `line` is 0 where there is no file."""

    line: int
    qid: str
    docid: str
    grade: int


def read_qrels(source: Source, split: str = "test") -> Qrels:
    """All judgments of a source; of a BEIR folder, those of `qrels/{split}.tsv`.

    Raises FormatError for a malformed line, a pair that is judged twice (trec_eval refuses it too) and an empty file.
    """
    name = name_of(source)
    qrels: Qrels = {}
    for line, qid, docid, grade in qrel_rows(source, split):
        grades = qrels.setdefault(qid, {})
        if docid in grades:
            raise FormatError(name, line, f"docid {docid!r} is judged twice for query {qid!r}")
        grades[docid] = grade
    if not qrels:
        raise FormatError(name, 1, f"no judgments: {_FORMS} is expected")
    return qrels


def qrel_rows(source: Source, split: str = "test") -> Iterator[Judgment]:
    """The judgments of a source as they come.

    The form is that of the first line: JSON objects (`query-id`, `corpus-id`, `score`), one a line or in an array, four columns (TREC)
    or three (BEIR), with their header line or without; all other lines must have it too. A grade of 1.0 is 1.
    """
    if isinstance(source, str) and source.startswith(irds.PREFIX):
        yield from (Judgment(0, *row) for row in irds.qrels(source))
        return
    source = _of_folder(source, split)
    name = name_of(source)
    columns, tabs = 0, False
    for number, line in records(source):
        if line.lstrip().startswith(b"{"):
            yield _from_json(name, number, line)
            continue
        first = columns == 0
        if first:
            tabs = line.count(b"\t") == 2
            columns = 3 if tabs or len(line.split()) == 3 else 4
        found = [column.decode().strip() for column in (line.split(b"\t") if tabs else line.split())]
        if first and found and found[0] in _QID and not found[-1].lstrip("-").isdecimal():
            continue
        if len(found) != columns or not all(found):
            raise FormatError(name, number, f"{len(found)} columns; {_FORMS} is expected")
        yield Judgment(number, found[0], found[-2], _grade(name, number, found[-1]))


def _of_folder(source: Source, split: str) -> Source:
    if not isinstance(source, (str, os.PathLike)) or (isinstance(source, str) and "\n" in source) or not Path(source).is_dir():
        return source
    folder = Path(source) / "qrels" if (Path(source) / "qrels").is_dir() else Path(source)
    if found := named_in(folder, split, (".tsv", ".jsonl", ".json", ".txt")):
        return found
    there = sorted(file.name.partition(".")[0] for file in folder.glob("*.tsv*"))
    raise InputError(f"{source}: no qrels/{split}.tsv" + (f"; the splits there are {', '.join(there)}" if there else ""))


def _from_json(name: str, number: int, line: bytes) -> Judgment:
    found = json_object(name, number, line)
    qid, docid = (identifier(name, number, found, keys) for keys in (_QID, _DOCID))
    for key in _GRADE:
        if key in found:
            return Judgment(number, qid, docid, _grade(name, number, found[key]))
    raise FormatError(name, number, f"no grade: one of the fields {', '.join(_GRADE)} is expected")


def _grade(name: str, number: int, value: object) -> int:
    """A whole number, also where pandas or the hub wrote it as 1.0."""
    try:
        number_of = float(value) if isinstance(value, str) and "_" not in value else value
    except ValueError:
        number_of = None
    if isinstance(number_of, (int, float)) and not isinstance(number_of, bool) and math.isfinite(number_of) and number_of % 1 == 0:
        return int(number_of)
    raise FormatError(name, number, f"the grade {value!r} is not a whole number")
