"""Keys: with one set, nothing but the open paths answers without it, however a path is spelled."""

from __future__ import annotations

import json
import logging

import pytest

from firstrank.reranker.errors import InputError
from firstrank.server.errors import Refused
from firstrank.server.keys import ApiKey, Keys, Limits
from firstrank.server.logs import JsonLines
from firstrank.server.paths import DOCS, KNOWN, OPEN
from firstrank.server.settings import load_settings
from tests.server.serving import body, figure, in_loop, serving

KEY = "sk-2718281828"
BEARER = {"authorization": f"Bearer {KEY}"}
ODD = [
    "//rerank", "/rerank/", "/%72erank", "/./rerank", "/health/../rerank", "/health/../v1/models", "/health%2f..%2fmetrics", "/HEALTH",
    "/health;x", "/ready/x", "/%2e%2e/metrics", "/page.css/../info", "/static/../info",
    "/docs/", "/health//", "/nope", "/health%00", "/\\health",
]  # fmt: skip


@in_loop
async def test_every_route_asks_for_the_key():
    async with serving(api_keys=[KEY]) as client:
        for path in sorted(KNOWN - OPEN) + ODD:
            for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get", "BREW"):
                answer = await client.request(method, f"http://test{path}")
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in sorted(OPEN):
            assert (await client.get(path)).status_code == 200, path
            assert (await client.post(path)).status_code == 401, path


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic sk-2718281828", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", KEY, f"Bearer {KEY.upper()}", "Bearer \xe9"],
)
@in_loop
async def test_wrong_keys(authorization):
    async with serving(api_keys=[KEY]) as client:
        answer = await client.post("/rerank", json=body("1"), headers={"authorization": authorization.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "unauthorized"


@in_loop
async def test_any_of_several_keys_opens_from_setting_and_file(tmp_path):
    (tmp_path / "keys").write_text("# ours\nkey-b\n\n  schlüssel  \n", encoding="utf-8")
    async with serving(api_keys=["key-a"], api_keys_file=tmp_path / "keys") as client:
        for key in ("key-a", "key-b", "schlüssel"):
            answer = await client.post("/rerank", json=body("1"), headers={"authorization": b"bearer " + key.encode()})
            assert answer.status_code == 200
        for path in DOCS:
            assert (await client.get(path)).status_code == 200


@in_loop
async def test_without_keys_a_header_is_ignored():
    async with serving() as client:
        for value in ("", "Bearer ", "Bearer whatever"):
            assert (await client.post("/rerank", json=body("1"), headers={"authorization": value})).status_code == 200


@pytest.mark.parametrize("content", [None, "", "# nothing\n"])
def test_a_file_without_keys_is_an_error_not_an_open_service(tmp_path, content):
    if content is not None:
        (tmp_path / "keys").write_text(content)
    with pytest.raises(InputError, match="api_keys_file"):
        load_settings(api_keys_file=tmp_path / "keys")


def test_a_key_has_a_minutes_requests_at_once_and_then_its_rate():
    now = [0.0]
    keys = Keys([ApiKey(key="a"), ApiKey(key="b")], Limits(rate_limit=6), clock=lambda: now[0])
    for _ in range(6):
        keys.check("Bearer a").charge(requests=1)
    with pytest.raises(Refused) as refused:
        keys.check("Bearer a").charge(requests=1)
    assert (refused.value.status, refused.value.kind) == (429, "rate_limited")
    assert 10 <= int(refused.value.headers["retry-after"]) <= 11
    keys.check("Bearer b").charge(requests=1)
    now[0] += 10.1
    keys.check("Bearer a").charge(requests=1)
    with pytest.raises(Refused):
        keys.check("Bearer a").charge(requests=1)


@in_loop
async def test_the_rate_limit_answers_429_and_counts():
    async with serving(api_keys=[KEY], rate_limit=2) as client:
        statuses = [(await client.post("/rerank", json=body("1"), headers=BEARER)).status_code for _ in range(3)]
        metrics = client.app.state.service.metrics.text().decode()
    assert statuses == [200, 200, 429]
    assert figure(metrics, 'firstrank_rejections_total{reason="rate_limited"}') == 1


@in_loop
async def test_cors_is_off_unless_origins_are_named():
    asking = {"origin": "https://a.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with serving() as client:
        assert "access-control-allow-origin" not in (await client.options("/rerank", headers=asking)).headers
    async with serving(cors_origins=["https://a.example"], api_keys=[KEY]) as client:
        allowed = await client.options("/rerank", headers=asking)
        other = await client.options("/rerank", headers=asking | {"origin": "https://b.example"})
        refused = await client.post("/rerank", json=body("1"), headers={"origin": "https://a.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in other.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://a.example"


@in_loop
async def test_the_log_has_no_key_no_query_and_no_document():
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonLines().format(record))  # type: ignore[method-assign]  # all that is needed of one
    logger = logging.getLogger("firstrank")
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    try:
        async with serving(api_keys=[KEY]) as client:
            secret = {"query": "s3cret query", "documents": ["1", "2"]}
            await client.post(f"/rerank?key={KEY}", json=secret, headers=BEARER)
            await client.post("/rerank", json=secret | {"documents": ["s3cret document"]}, headers=BEARER)  # float() fails: a 500
            await client.post("/rerank", json=secret | {"top_n": "s3cret"}, headers=BEARER)
            await client.get(f"/{KEY}", headers={"authorization": "Bearer s3cret"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel("NOTSET")
    found = [json.loads(line) for line in lines]
    assert [one["status"] for one in found if one["message"] == "request"] == [200, 500, 422, 401]
    assert any("frames" in one for one in found)
    assert all(one["request_id"] for one in found if one["message"] == "request")
    assert "s3cret" not in "".join(lines)
    assert KEY not in "".join(lines)
