"""Inputs that break readers: bytes by name, the same for the same seed. Small, and made on the spot."""

from __future__ import annotations

import bz2
import gzip
import json
import random
import zlib
from collections.abc import Iterator

ROW = b"q1 Q0 d1 1 2.5 tag\n"
LINE = b'{"_id": "q1", "text": "what"}\n'


def nasty(seed: int = 0) -> dict[str, bytes]:
    """About a hundred of them."""
    return dict(_odd()) | dict(_packed()) | dict(_numbers()) | dict(_json()) | dict(_mutated(random.Random(seed)))


def _odd() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a zero byte", b"\0"
    yield "a byte order mark alone", b"\xef\xbb\xbf"
    yield "UTF-16", ROW.decode().encode("utf-16")
    yield "UTF-32", LINE.decode().encode("utf-32")
    yield "Latin-1", b"q\xe9 Q0 d\xfc 1 2.5 tag\n"
    yield "half a character", ROW + b"\xe2\x82"
    yield "half a surrogate pair in UTF-8", b"q1 Q0 \xed\xa0\xbd 1 1 t\n"
    yield "an overlong slash", b"q1 Q0 \xc0\xaf 1 1 t\n"
    yield "no line end", ROW.strip()
    yield "ends of Windows", ROW.replace(b"\n", b"\r\n") * 3
    yield "ends of old Macs", ROW.replace(b"\n", b"\r") * 3
    yield "other line separators", "q1\u2028Q0\u0085d1\u20291 2.5 tag\n".encode()
    yield "white space alone", b" \t\r\n\x0b\x0c\n" * 5
    yield "a long line", b"q1 Q0 " + b"d" * 200_000 + b" 1 1 t\n"
    yield "many columns", b" ".join([b"x"] * 5_000) + b"\n"
    yield "a script", b"#!/bin/sh\nrm -rf /\n"
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(64)
    yield "an archive", b"PK\x03\x04" + bytes(64)
    yield "a pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94."
    yield "a web page", b"<!DOCTYPE html><html><body>404</body></html>\n"
    yield "a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    yield "ids that look like paths", b"../../etc/passwd Q0 /dev/null 1 1 t\n"
    yield "an id twice", ROW + ROW


def _packed() -> Iterator[tuple[str, bytes]]:
    whole = gzip.compress(ROW * 50, mtime=0)
    yield "gzip", whole
    yield "gzip cut short", whole[: len(whole) // 2]
    yield "gzip with another checksum", whole[:-8] + bytes(8)
    yield "gzip with more behind it", whole + b"more"
    yield "gzip of gzip", gzip.compress(whole, mtime=0)
    for _ in range(20):
        whole = gzip.compress(whole, mtime=0)
    yield "gzip of gzip of gzip and so on", whole
    yield "a header of gzip alone", whole[:10]
    yield "zlib", zlib.compress(ROW)
    yield "bzip2", bz2.compress(ROW)


def _numbers() -> Iterator[tuple[str, bytes]]:
    for score in ("nan", "inf", "-inf", "1e999", "-1e39", "1_0", "0x10", "１", "1,5", "--1", "", "1e", ".", "9" * 5_000):
        yield f"the score {score[:10]!r}", f"q1 Q0 d1 1 {score} t\n".encode()
    for grade in ("nan", "1.5", "-1", "99999999999999999999", "1e3", "x", ""):
        yield f"the grade {grade!r}", f"q1 0 d1 {grade}\n".encode()
        yield f"the grade {grade!r} of a table", f"query-id\tcorpus-id\tscore\nq1\td1\t{grade}\n".encode()


def _json() -> Iterator[tuple[str, bytes]]:
    yield "half an object", b'{"_id": "q1", "text": "wh'
    yield "deep nesting", b'{"_id": "q1", "text": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n"
    yield "deep objects", b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    yield "a key twice", b'{"_id": "q1", "_id": "q2", "text": "a", "text": "b"}\n'
    yield "NaN", b'{"_id": "q1", "text": NaN}\n'
    yield "a huge number", b'{"_id": ' + b"9" * 5_000 + b', "text": "a"}\n'
    yield "half a surrogate pair", b'{"_id": "q1", "text": "\\ud83d"}\n'
    yield "a zero character", b'{"_id": "q\\u0000", "text": "a\\u0000b"}\n'
    yield "an id with a line break", b'{"_id": "q\\n1", "text": "a"}\n'
    yield "an array", b'["q1", "what"]\n'
    yield "one object over many lines", json.dumps({"_id": "q1", "text": "what"}, indent=2).encode()
    for name, value in (("null", None), ("a number", 1), ("true", True), ("a list", ["a"]), ("an object", {"a": 1}), ("empty", "")):
        yield f"a text that is {name}", json.dumps({"_id": "q1", "text": value}).encode() + b"\n"
        yield f"an id that is {name}", json.dumps({"_id": value, "text": "a"}).encode() + b"\n"
        yield f"candidates that are {name}", json.dumps({"query": {"text": "what", "qid": "1"}, "candidates": value}).encode() + b"\n"
        yield f"a query that is {name}", json.dumps({"query": value, "candidates": []}).encode() + b"\n"


def _mutated(draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Valid lines with bytes put in, taken out, doubled."""
    for number in range(30):
        data = bytearray((ROW * 3, LINE * 3)[number % 2])
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(len(data) + 1)
            data[place : place + draw.randint(0, 3)] = draw.choice([b"", b"\0", b"\t", b'"', b"\n", b"\xff", b"{", data[:place][-8:]])
        yield f"mutation {number}", bytes(data)
