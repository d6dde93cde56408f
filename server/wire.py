"""Bytes of a body -> a JSON object."""

from __future__ import annotations

import codecs
import json
import zlib
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

from firstrank.server.errors import Refused

_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content-Encoding -> zlib's number for its header"""


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its Content-Encoding, of at most so many bytes.

    Raises Refused: 413 for more, 415 for an encoding that is not known, 400 for what is not in it.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _ENCODINGS:
        raise Refused(415, f"Content-Encoding {encoding[:40]!r}: send the body as it is, or with gzip")
    unpacking = zlib.decompressobj(_ENCODINGS[name])
    try:
        found = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not in {name}, as its Content-Encoding says: {error}") from error
    if len(found) > most:
        raise Refused(413, f"the body has more than {most} bytes when unpacked, the most that this service takes (max_body_bytes)")
    if not unpacking.eof:
        raise Refused(400, f"the body is not whole: its {name} stream ends early")
    return found


def parse_json(body: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises Refused: 400 for what is not JSON, 422 for half a surrogate pair or another JSON value."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if _has_half_a_pair(body, str(error)):
            where = "the body"
            with suppress(RecursionError):
                where = _half_a_pair(json.loads(body))
            raise Refused(422, f"{where}: holds half a surrogate pair (\\ud800 … \\udfff alone), which is not a character") from error
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(422, "the body must be a JSON object with `query` and `documents`")
    return found


def _has_half_a_pair(body: bytes, problem: str) -> bool:
    """Whether the parser stopped at an escape that another parser lets through."""
    if "surrogate" not in problem and "hex escape" not in problem:
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _half_a_pair(found: Any, where: str = "the body") -> str:
    """Where the first text is that no UTF-8 can hold: `documents.3`, say, or `documents.3.text`."""
    if isinstance(found, str):
        return where if any("\ud800" <= character <= "\udfff" for character in found) else ""
    if isinstance(found, list):
        parts: list[tuple[Any, Any]] = list(enumerate(found))
    else:
        parts = list(found.items()) if isinstance(found, dict) else []
    named = (_half_a_pair(part, str(key) if where == "the body" else f"{where}.{key}") for key, part in parts)
    return next(filter(None, named), "" if where != "the body" else where)
