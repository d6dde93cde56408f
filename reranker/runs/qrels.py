"""Relevance judgments: TREC or BEIR form, JSONL, a BEIR folder, `ir_datasets:ID`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs import irds
from firstrank.reranker.runs.files import Source, byte_lines, identifier, json_object, name_of

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

    The form is that of the first line: a JSON object (`query-id`, `corpus-id`, `score`), four columns (TREC) or three
    with tabs (BEIR, its header line skipped); all other lines must have it too.
    """
    if isinstance(source, str) and source.startswith(irds.PREFIX):
        yield from (Judgment(0, *row) for row in irds.qrels(source))
        return
    source = _of_folder(source, split)
    name = name_of(source)
    columns = 0
    for number, line in byte_lines(source):
        if line.lstrip().startswith(b"{"):
            yield _from_json(name, number, line)
            continue
        first = columns == 0
        if first:
            columns = 3 if line.count(b"\t") == 2 else 4
        found = [column.decode().strip() for column in (line.split(b"\t") if columns == 3 else line.split())]
        if first and columns == 3 and found[0] in _QID:
            continue
        if len(found) != columns or not all(found):
            raise FormatError(name, number, f"{len(found)} columns; {_FORMS} is expected")
        yield Judgment(number, found[0], found[-2], _grade(name, number, found[-1]))


def _of_folder(source: Source, split: str) -> Source:
    if not isinstance(source, (str, os.PathLike)) or (isinstance(source, str) and "\n" in source) or not Path(source).is_dir():
        return source
    folder = Path(source) / "qrels" if (Path(source) / "qrels").is_dir() else Path(source)
    for suffix in (".tsv", ".tsv.gz", ".jsonl"):
        if (found := folder / f"{split}{suffix}").is_file():
            return found
    there = sorted(file.name.partition(".")[0] for file in folder.glob("*.tsv*"))
    raise InputError(f"{source}: no qrels/{split}.tsv" + (f"; the splits there are {', '.join(there)}" if there else ""))


def _from_json(name: str, number: int, line: bytes) -> Judgment:
    found = json_object(name, number, line)
    qid, docid = identifier(name, number, found, _QID), identifier(name, number, found, _DOCID)
    for key in _GRADE:
        if key in found:
            return Judgment(number, qid, docid, _grade(name, number, found[key]))
    raise FormatError(name, number, f"no grade: one of the fields {', '.join(_GRADE)} is expected")


def _grade(name: str, number: int, value: object) -> int:
    try:
        if isinstance(value, str) and "_" not in value:
            return int(value)
    except ValueError:
        pass
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise FormatError(name, number, f"the grade {value!r} is not a whole number")
