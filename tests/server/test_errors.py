"""Bad input and bad days: each has its status, its body says what to do, and nothing is ever a 500 that is the client's fault."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from firstrank.reranker.errors import EngineLost, InputError, ScorerError, TransientError
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.errors import refusal
from firstrank.server.registry import WARM_UP
from tests.reranker.fakes import FakeScorer
from tests.server.serving import body, figure, in_loop, serving, until

ONE = b'{"query": "q", "documents": ["1"]'
BODIES = {
    "nothing": (b"", 400),
    "not JSON": (b"query=q", 400),
    "cut off": (ONE, 400),
    "deep": (b"[" * 200_000, 400),
    "deep inside": (ONE + b', "x": ' + b'{"a":' * 100_000 + b"}", 400),
    "not UTF-8": (b'{"query": "\xff", "documents": ["1"]}', 400),
    "NaN": (ONE + b', "top_n": NaN}', 400),
    "BOM": (b"\xef\xbb\xbf" + ONE + b"}", 200),
    "two BOMs": (b"\xef\xbb\xbf" * 2 + ONE + b"}", 400),
    "UTF-16": ((ONE + b"}").decode().encode("utf-16"), 400),
    "an array": (b"[1]", 422),
    "null": (b"null", 422),
    "no query": (b'{"documents": ["1"]}', 422),
    "empty query": (b'{"query": "", "documents": ["1"]}', 422),
    "blank query": (b'{"query": " \\t ", "documents": ["1"]}', 422),
    "blank query for texts": (b'{"query": "\\u3000", "texts": ["1"]}', 422),
    "no documents": (b'{"query": "q"}', 422),
    "zero documents": (b'{"query": "q", "documents": []}', 422),
    "zero texts": (b'{"query": "q", "texts": []}', 422),
    "documents of numbers": (b'{"query": "q", "documents": [1]}', 422),
    "an object without text": (b'{"query": "q", "documents": [{"title": "x"}]}', 422),
    "documents as a string": (b'{"query": "q", "documents": "abc"}', 422),
    "negative top_n": (ONE + b', "top_n": -1}', 422),
    "top_n as text": (ONE + b', "top_n": "3"}', 200),
    "top_n as another text": (ONE + b', "top_n": "many"}', 422),
    "top_n as a fraction": (ONE + b', "top_n": 1.5}', 422),
    "top_n as a bool": (ONE + b', "top_n": true}', 422),
    "negative max_tokens_per_doc": (ONE + b', "max_tokens_per_doc": -5}', 422),
    "lone high surrogate": (b'{"query": "\\ud800", "documents": ["1"]}', 422),
    "lone low surrogate": (b'{"query": "q", "documents": ["1", "x\\udfffy"]}', 422),
    "surrogates swapped": (b'{"query": "q", "documents": ["\\udc00\\ud800"]}', 422),
    "unknown strategy": (ONE + b', "strategy": "bubble"}', 422),
    "strategy of nonsense": (ONE + b', "strategy": "sliding:window=1"}', 422),
    "endless strategy": (ONE + b', "strategy": "consistent:shuffles=1000000000"}', 422),
    "endless, dressed up": (ONE + b', "strategy": "consistent:of=sliding, passes = +99_9"}', 422),
    "long strategy": (ONE + b', "strategy": "' + b"x" * 201 + b'"}', 422),
    "unknown model": (ONE + b', "model": "nope"}', 404),
    "too many documents": (json.dumps({"query": "q", "documents": ["1"] * 100_000}).encode(), 413),
    "too many texts": (json.dumps({"query": "q", "texts": ["1"] * 1001}).encode(), 413),
    "a long query": (json.dumps({"query": "q" * 8001, "documents": ["1"]}).encode(), 413),
    "a huge body": (b" " * (100 << 20), 413),
    "control tokens": (json.dumps({"query": "<|im_end|>\0", "documents": ["1", "2"]}).encode(), 200),
    "huge top_n": (ONE + b', "top_n": ' + b"9" * 4000 + b"}", 200),
    "an emoji as a pair": (b'{"query": "\\ud83d\\ude00", "documents": ["1"]}', 200),
}


@pytest.mark.parametrize("case", BODIES)
@in_loop
async def test_hostile_bodies(case):
    content, status = BODIES[case]
    async with serving() as client:
        answer = await client.post("/rerank", content=content)
        inside = figure((await client.get("/metrics")).text, "firstrank_requests_inside")
    assert answer.status_code == status, answer.text[:300]
    assert inside == 0
    if status != 200:
        check_error(answer)


def check_error(answer):
    found = answer.json()
    assert len(answer.content) < 2000
    assert found["message"]
    assert found["detail"]
    if isinstance(found["error"], str):
        assert found["error_type"]
    else:
        assert found["error"] == {"message": found["message"], "type": found["error"]["type"], "code": answer.status_code}


@in_loop
async def test_a_body_that_does_not_say_its_length_is_counted():
    sent = 0

    async def chunks():
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1000

    async with serving(max_body_bytes=100_000) as client:
        answer = await client.post("/rerank", content=chunks())
    assert answer.status_code == 413
    assert sent < 110


@in_loop
async def test_many_problems_give_a_short_answer():
    async with serving() as client:
        answer = await client.post("/rerank", json={"query": "q", "documents": [{"secret": "s3cret"}] * 1000})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) <= 10
    assert "s3cret" not in answer.text


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "", "1e", "--1"])
@in_loop
async def test_a_timeout_that_is_no_time(value):
    async with serving() as client:
        answer = await client.post("/rerank", json=body("1"), headers={"x-request-timeout": value})
    assert answer.status_code == 422


@in_loop
async def test_compressed_bodies_are_unpacked_within_bounds():
    plain = json.dumps(body("1", "2")).encode()
    bomb = gzip.compress(b" " * 50_000_000)
    cases = [
        ("gzip", gzip.compress(plain), 200), ("GZIP", gzip.compress(plain), 200), ("deflate", zlib.compress(plain), 200),
        ("gzip", b"\x1f\x8b", 400), ("gzip", plain, 400), ("gzip", gzip.compress(plain)[:-9], 400), ("gzip", bomb, 413), ("br", b"x", 415),
    ]  # fmt: skip
    async with serving() as client:
        for encoding, content, status in cases:
            answer = await client.post("/rerank", content=content, headers={"content-encoding": encoding})
            assert answer.status_code == status, (encoding, answer.text)
            if status != 200:
                check_error(answer)


@in_loop
async def test_routes_and_methods_that_are_not_there():
    async with serving() as client:
        for method, path, status in [("GET", "/nope", 404), ("GET", "/rerank", 405), ("POST", "/health", 405), ("PUT", "/v1/rerank", 405)]:
            answer = await client.request(method, path)
            assert answer.status_code == status
            check_error(answer)


@in_loop
async def test_an_error_that_nobody_foresaw_says_nothing_and_the_next_request_is_fine(caplog):
    def hook(qid, texts):
        if "13" in texts:
            raise ZeroDivisionError("the secret document 13")

    async with serving(FakeScorer(hook=hook)) as client:
        answer = await client.post("/rerank", json=body("13", "2"))
        after = await client.post("/rerank", json=body("1", "2"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    check_error(answer)
    assert after.status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("query too long"), 422), (ScorerError("bad window"), 500), (TransientError("busy"), 503), (EngineLost("gone"), 503)],
)
def test_what_an_error_of_the_library_means(error, status):
    assert refusal(error).status == status


@in_loop
async def test_a_query_that_fills_the_context_is_422(tiny_model):
    async with serving(openers={"default": Setup.of(str(tiny_model), threads=1).open_scorer}, max_query_chars=100_000) as client:
        answer = await client.post("/rerank", json={"query": "why? " * 10_000, "documents": ["a", "b"]})
    assert answer.status_code == 422
    assert "shorten the query" in answer.json()["message"]


@in_loop
async def test_a_lost_engine_is_503_and_started_again():
    opened = []

    def hook(qid, texts):
        if len(opened) == 1 and qid != WARM_UP.qid:
            raise EngineLost("the engine is gone")

    def opener():
        opened.append(1)
        return FakeScorer(hook=hook, max_windows=1), Schedule()

    async with serving(openers={"default": opener}) as client:
        lost = await client.post("/rerank", json=body("1", "2"))
        service = client.app.state.service
        await until(lambda: service.registry.ready and len(opened) == 2)
        again = await client.post("/rerank", json=body("1", "2"))
    assert lost.status_code == 503
    assert lost.json()["error"]["type"] == "engine_lost"
    assert lost.headers["retry-after"]
    assert again.status_code == 200
    assert len(opened) == 2
