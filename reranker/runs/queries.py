"""Queries: JSONL, TSV, TREC topics, a BEIR folder, `ir_datasets:ID`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs import irds
from firstrank.reranker.runs.files import Source, byte_lines, identifier, json_object, name_of, string_field

_QID = ("_id", "id", "qid", "query_id", "query-id")
_TEXT = ("text", "query", "title")


class Query(NamedTuple):
    """What someone searched for."""

    qid: str
    text: str


def read_queries(source: Source) -> Iterator[Query]:
    """The queries of a source, in its order.

    The form is that of the first line: a JSON object (`_id`, `id` or `qid`; `text`, `query` or `title`), `<top>` for TREC
    topics (number and title), else `qid<TAB>text`. Raises FormatError for a malformed line, a qid that comes twice and an
    empty file.
    """
    name, seen = name_of(source), dict[str, int]()
    for number, query in _numbered(source):
        if query.qid in seen:
            raise FormatError(name, number, f"query {query.qid!r} comes twice (first on line {seen[query.qid]})")
        seen[query.qid] = number
        yield query
    if not seen:
        raise FormatError(name, 1, 'no queries: {"_id": …, "text": …} or `qid<TAB>text` is expected')


def _numbered(source: Source) -> Iterator[tuple[int, Query]]:
    if isinstance(source, str) and source.startswith(irds.PREFIX):
        yield from ((0, Query(*row)) for row in irds.queries(source))
        return
    source = _of_folder(source)
    name = name_of(source)
    lines = byte_lines(source)
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
    for name in ("queries.jsonl", "queries.jsonl.gz", "queries.tsv"):
        if (found := Path(source) / name).is_file():
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
            yield number, Query(identifier(name, number, found, _QID), string_field(name, number, found, _TEXT))
            continue
        qid, tab, text = line.decode().partition("\t")
        if not tab or not qid.strip():
            raise FormatError(name, number, "`qid<TAB>text` is expected")
        if first and qid.strip() in _QID and text.strip() in _TEXT:
            continue
        yield number, Query(qid.strip(), text.strip())


_FIELD = re.compile(r"<(num|title)>([^<]*)", re.IGNORECASE)


def _topics(name: str, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Query]]:
    """TREC's own form: `<top> <num> Number: 301 <title> a few words <desc> … </top>`, tags closed or not."""
    block: list[str] = []
    start = 0
    for number, line in lines:
        text = line.decode()
        if "<top>" in text.lower():
            start, block = number, []
        block.append(text)
        if "</top>" in text.lower():
            fields = {key.lower(): value for key, value in _FIELD.findall("\n".join(block))}
            qid = re.sub(r"^\s*number\s*:", "", fields.get("num", ""), flags=re.IGNORECASE).strip()
            title = re.sub(r"^\s*topic\s*:", "", fields.get("title", ""), flags=re.IGNORECASE)
            if not qid or not title.strip():
                raise FormatError(name, start or number, "a topic without <num> or <title>")
            yield start, Query(qid, " ".join(title.split()))
            block, start = [], 0
    if "".join(block).strip():
        raise FormatError(name, start or 1, "a topic that does not end: </top> is missing")
