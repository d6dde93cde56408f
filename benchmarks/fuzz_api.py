"""Thousands of requests, valid and not, against the service: no failure of the service, no answer that comes late, no memory that is kept.

    python -m benchmarks.fuzz_api [--requests 10000] [--described 2000] [--seed 0] [--deadline 30] [--growth-mb 50] [--model FOLDER]

About `--described` of them are schemathesis's, made from the service's own description, valid and invalid, each answer held to it. The rest
are seeded mutations of bodies that clients send: odd values, keys too many or too few, hostile passages, bytes cut and put in, odd headers.
`firstrank serve` runs on loopback, with a tiny model unless another is named, on one thread.

Prints a JSON line after each thousand, of all so far: how often each status came, the slowest answer, and the service's resident memory
once it is warm and now. Ends with 1 for a status of 500 or more, an answer that took longer than the deadline, an error in the log, or
memory that grew more.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.arguments import parser_of
from benchmarks.attacks import QUERIES, passages
from benchmarks.memory import resident
from tests.conftest import make_tiny_model
from tests.server.serving import live
from tests.server.test_schema import explore

_WARM = 0.1
"""the share of the requests after which memory is read first"""
_AT_ONCE = 1_000
_POSTS = 12
"""operations of the description that documents are posted to, about"""
DOCUMENTS = ["Bees make honey.", "Jane Austen wrote Emma.", "", "Zug nach Bern"]
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/rerank", {"query": QUERIES[0], "documents": DOCUMENTS, "top_n": 2, "return_documents": True, "model": "default"}),
    ("/v1/rerank", {"query": QUERIES[1], "documents": [{"text": text} for text in DOCUMENTS], "raw_scores": True}),
    ("/v2/rerank", {"query": QUERIES[2], "documents": DOCUMENTS, "max_tokens_per_doc": 64, "strategy": "topdown"}),
    ("/rerank", {"query": QUERIES[3], "texts": DOCUMENTS, "return_text": True, "truncate": True, "raw_scores": False}),
    ("/v1/ranking", {"query": {"text": QUERIES[0]}, "passages": [{"text": text} for text in DOCUMENTS]}),
    ("/v1/score", {"text_1": QUERIES[0], "text_2": DOCUMENTS}),
    ("/v1/reranking", {"query": QUERIES[4], "documents": DOCUMENTS}),
]
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        10**400,
        0.5,
        -0.0,
        1e308,
        "",
        " ",
        "1",
        "true",
        "null",
        "\x00",
        "\ud7ff\ue000",
        "a" * 10_000,
    ),
    *([], {}, [[]], [None], [{}] * 50, {"text": None}, {"text": {"text": "x"}}, {"": ""}, {"text": ""}, {"$ref": "#"}, {"__proto__": {}}),
    *("sliding:window=2,stride=1", "consistent:shuffles=99999", "full:", "../../etc/passwd", "http://127.0.0.1:1/"),
]
KEYS = ["query", "documents", "texts", "top_n", "top_k", "model", "strategy", "partial", "rank_fields", "x"]
BYTES = [b"", b"\0", b"\xff", b"\\ud800", b'"', b"}", b"[" * 300, b"\xef\xbb\xbf", b"NaN"]
HEADERS: list[dict[str, str]] = [
    *({} for _ in range(12)),
    *({"content-encoding": value} for value in ("gzip", "br", "identity", "deflate, gzip", "x" * 200)),
    *({"content-type": value} for value in ("text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16")),
    *({"x-request-timeout": value} for value in ("nan", "inf", "-1", "0", "1e999", "soon", "30")),
    *({"x-request-id": value} for value in ("a b", "x" * 500, "ok-1", "%0a")),
    *({"authorization": value} for value in ("Bearer x", "Basic eDp4", "Bearer")),
    *({"traceparent": value} for value in ("00-" + "0" * 32 + "-" + "0" * 16 + "-01", "zz")),
    *({"accept-encoding": value} for value in ("gzip;q=0", "*")),
]  # fmt: skip


class Sent(NamedTuple):
    """A request."""

    path: str
    body: bytes
    headers: dict[str, str]


class Watch:
    """The slowest answer, and the memory of a process when it is warm."""

    def __init__(self, process: int, warm: int) -> None:
        self.slowest, self.answers, self.before = 0.0, 0, resident(process)
        self._process, self._warm = process, warm

    def answered(self, seconds: float) -> None:
        self.answers += 1
        self.slowest = max(self.slowest, seconds)
        if self.answers == self._warm:
            self.before = resident(self._process)

    def told(self, statuses: Counter[int], log: Sequence[str]) -> dict[str, Any]:
        return {
            "requests": statuses.total(),
            "statuses": {str(status): count for status, count in sorted(statuses.items())},
            "slowest_seconds": round(self.slowest, 3),
            "resident_mb": [round(self.before, 1), round(resident(self._process), 1)],
            "errors_in_log": sum('"level": "error"' in line for line in log),
        }


def main(words: Sequence[str] | None = None) -> int:
    parser = parser_of("fuzz_api", __doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--described", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds that an answer may take")
    parser.add_argument("--growth-mb", type=float, default=50.0)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_tiny_model(Path(folder))
        with live("--model", f"default={model}", "--threads", "1", "--timeout", str(options.deadline)) as server:
            watch = Watch(server.process.pid, max(1, int(_WARM * options.requests)))
            statuses = explore(server.url, options.described // (2 * _POSTS), watch.answered) if options.described else Counter()
            left = options.requests - statuses.total()
            requests = mutated(random.Random(options.seed))
            for start in range(0, max(1, left), _AT_ONCE):
                some = islice(requests, max(0, min(_AT_ONCE, left - start)))
                statuses += sent(server.url, some, options.deadline, watch.answered)
                print(json.dumps(found := watch.told(statuses, server.log)), flush=True)
    held = not found["errors_in_log"] and max(statuses) < 500 and watch.slowest <= options.deadline
    before, after = found["resident_mb"]
    return int(not held or after - before > options.growth_mb)


def sent(url: str, requests: Iterator[Sent], deadline: float, answered: Callable[[float], None]) -> Counter[int]:
    """How often each status came. Raises httpx.TimeoutException for an answer that does not come in twice the deadline."""
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=url, timeout=2 * deadline) as client:
        for one in requests:
            started = time.perf_counter()
            try:
                status = client.post(one.path, content=one.body, headers={"content-type": "application/json"} | one.headers).status_code
            except httpx.RemoteProtocolError:  # what is no HTTP is answered by the end of the connection
                status = 0
            answered(time.perf_counter() - started)
            statuses[status] += 1
    return statuses


def mutated(draw: random.Random) -> Iterator[Sent]:
    """Without end; the same ones for the same generator."""
    hostile = [attack.text.encode("utf-8", "replace").decode() for attack in passages(200)]
    while True:
        path, whole = draw.choice(BODIES)
        body = deepcopy(whole)
        for _ in range(draw.randint(0, 3)):
            _change(body, draw, [*ODD, *draw.sample(hostile, 20)])
        written = json.dumps(body, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
        yield Sent(path, _damaged(written, draw) if draw.random() < 0.2 else written, draw.choice(HEADERS))


def _change(body: Any, draw: random.Random, odd: Sequence[Any]) -> None:
    """A value somewhere in it becomes another, a key goes, or one comes."""
    keys = list(body) if isinstance(body, dict) else list(range(len(body))) if isinstance(body, list) else []
    if not keys:
        return
    key = draw.choice(keys)
    if isinstance(body[key], dict | list) and draw.random() < 0.6:
        _change(body[key], draw, odd)
        return
    match draw.randrange(4):
        case 0 if isinstance(body, dict):
            del body[key]
        case 1 if isinstance(body, dict):
            body[draw.choice(KEYS)] = draw.choice(odd)
        case 2 if isinstance(body, list):
            body *= draw.choice([0, 2, 20])
        case _:
            body[key] = draw.choice(odd)


def _damaged(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice(BYTES) + data[place + draw.randrange(5) :]


if __name__ == "__main__":
    sys.exit(main())
