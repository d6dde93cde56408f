"""Queries: JSONL, TSV, TREC topics, a BEIR folder, `ir_datasets:ID`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs import irds
from firstrank.reranker.runs.files import Source, identifier, json_object, name_of, named_in, string_field
from firstrank.reranker.runs.ids import one_word, some
from firstrank.reranker.runs.records import records
from firstrank.reranker.runs.topics import topics

_QID = ("_id", "id", "qid", "query_id", "query-id")
_TEXT = ("text", "query", "title")
_log = logging.getLogger(__name__)


class Query(NamedTuple):
    """What someone searched for."""

    qid: str
    text: str


def read_queries(source: Source) -> Iterator[Query]:
    """The queries of a source, in its order.

    The form is that of the first line: JSON objects (`_id`, `id` or `qid`; `text`, `query` or `title`), one a line or in an array,
    `<…>` for TREC topics (see `firstrank.reranker.runs.topics`), else `qid<TAB>text`. Raises FormatError for a malformed line, a
    qid that comes twice or holds white space, and an empty file.
    """
    name, seen = name_of(source), dict[str, int]()
    for number, query in _numbered(source):
        if query.qid in seen:
            raise FormatError(name, number, f"query {query.qid!r} comes twice (first on line {seen[query.qid]})")
        seen[query.qid] = number
        yield query
    if not seen:
        raise FormatError(name, 1, 'no queries: {"_id": …, "text": …} or `qid<TAB>text` is expected')


def warn_of_empty(name: str, empty: Sequence[str]) -> None:
    """Says how many queries ask for nothing, and which."""
    if empty:
        _log.warning(
            "%s: %d quer%s empty (%s): ranked like any other", name, len(empty), "ies are" if len(empty) > 1 else "y is", some(empty)
        )


def _numbered(source: Source) -> Iterator[tuple[int, Query]]:
    if isinstance(source, str) and source.startswith(irds.PREFIX):
        yield from ((0, Query(*row)) for row in irds.queries(source))
        return
    source = _of_folder(source)
    name = name_of(source)
    lines = records(source)
    first = next(lines, None)
    if first is None:
        return
    parse = _topics if first[1].lstrip().startswith(b"<") else _flat
    yield from parse(name, _chain(first, lines))


def _chain(first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield first
    yield from rest


def _of_folder(source: Source) -> Source:
    if not isinstance(source, (str, os.PathLike)) or (isinstance(source, str) and "\n" in source) or not Path(source).is_dir():
        return source
    if found := named_in(Path(source), "queries", (".jsonl", ".tsv", ".json")):
        return found
    raise InputError(f"{source}: no queries.jsonl in this folder")


def _flat(name: str, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Query]]:
    as_json = None
    for number, line in lines:
        first = as_json is None
        if as_json is None:
            as_json = line.lstrip().startswith(b"{")
        if as_json:
            found = json_object(name, number, line)
            yield number, Query(one_word(name, number, identifier(name, number, found, _QID)), string_field(name, number, found, _TEXT))
            continue
        qid, tab, text = line.decode().partition("\t")
        if not tab or not qid.strip():
            raise FormatError(name, number, "`qid<TAB>text` is expected")
        if first and qid.strip() in _QID and text.strip() in _TEXT:
            continue
        yield number, Query(one_word(name, number, qid.strip()), text.strip())


def _topics(name: str, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Query]]:
    for number, qid, text in topics(name, lines):
        yield number, Query(qid, text)
