"""One record a line, also where a file is one JSON array, or its objects are written over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.files import Source, byte_lines, json_object, name_of

_LAID_OUT = re.compile(rb"\s*(?:\[\s*(?:$|[{\]])|\{(?:.*[{\[,])?\s*$)", re.DOTALL)
"""how a first line begins a JSON array, or an object that goes on in the next line"""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)


def records(source: Source) -> Iterator[tuple[int, bytes]]:
    """`byte_lines`; but of a JSON array, and of objects that are laid out over lines, each object is one, with the line where it begins.

    Read as it comes: memory holds an object at a time. Raises FormatError as `byte_lines` does, and for an array of anything else, or
    one that does not end.
    """
    lines = byte_lines(source)
    first = next(lines, None)
    if first is not None:
        everything = chain([first], lines)
        yield from _objects(name_of(source), everything) if _LAID_OUT.match(first[1]) else everything


def json_lines(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each record. Raises FormatError for one that is not a JSON object."""
    for number, line in records(source):
        yield number, json_object(name_of(source), number, line)


def _objects(name: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    depth, start, number = 0, 0, 1
    array, closed = False, False
    parts: list[bytes] = []
    for number, line in lines:
        begin = 0
        for match in _TOKEN.finditer(line):
            token = match[0]
            if token == b'"':
                raise FormatError(name, number, "not valid JSON: a string does not end on its line")
            if depth == 0:
                _check_between(name, number, line[begin : match.start()])
                begin = match.start()
                if token == b"[" and not array:
                    array = True
                elif token == b"]" and array and not closed:
                    closed = True
                elif token != b"{" or closed:
                    raise FormatError(name, number, "JSON objects are expected, alone or in one array")
                else:
                    depth, start = 1, number
                    continue
                begin = match.end()
            elif token in b"{[":
                depth += 1
            elif token in b"}]":
                depth -= 1
                if depth == 0:
                    yield start, b"\n".join([*parts, line[begin : match.end()]])
                    parts, begin = [], match.end()
        if depth:
            parts.append(line[begin:])
        else:
            _check_between(name, number, line[begin:])
    if depth:
        raise FormatError(name, start, "a JSON object that does not end: is the file cut short?")
    if array and not closed:
        raise FormatError(name, number, "the JSON array does not end: is the file cut short?")


def _check_between(name: str, number: int, text: bytes) -> None:
    if text.strip(b", \t\r\v\f"):
        raise FormatError(name, number, f"not valid JSON: {text.strip().decode()[:20]!r} between objects")
