"""Seen from outside: traces, Server-Timing, and a log by which a sender can be found."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from firstrank.reranker.scorers.openai.servers import PASSED_ON, Servers
from firstrank.server.logs import JsonLines
from firstrank.server.tracing import Exported, Tracing, tracing_of
from tests.server.serving import body, figure, in_loop, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def log() -> Iterator[list[dict]]:
    lines: list[dict] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JsonLines().format(record)))  # type: ignore[method-assign]  # all that is needed
    logger = logging.getLogger("firstrank")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lines
    logger.removeHandler(handler)
    logger.setLevel("NOTSET")


@in_loop
async def test_the_log_has_the_callers_trace_and_address_and_a_path_without_secrets(log):
    async with serving() as client:
        await client.post("/v1/rerank", json=body("1", "2"), headers={"traceparent": PARENT})
        await client.post("/v1/rerank", json=body("1"), headers={"traceparent": "00-nonsense"})
        await client.get("/api/v1/rerank/s3cret/x%0a")
    requests = [line for line in log if line["message"] == "request"]
    assert [line.get("trace_id") for line in requests] == [TRACE, None, None]
    assert {line["client"] for line in requests} == {"127.0.0.1"}
    assert requests[2]["path"] == "/api/v1/rerank/*/*"


@in_loop
async def test_a_401_can_be_traced_to_its_key(log):
    async with serving(api_keys="right") as client:
        await client.post("/rerank", json=body("1"), headers={"authorization": "Bearer an-old-one"})
    [line] = [line for line in log if line["message"] == "request"]
    assert line["key_digest"] == hashlib.sha256(b"an-old-one").hexdigest()[:8]
    assert line["reason"] == "unauthorized"


@in_loop
async def test_server_timing_and_seconds_by_model():
    async with serving() as client:
        answer = await client.post("/rerank", json=body("1", "2"))
        metrics = (await client.get("/metrics")).text
    parts = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(parts) == ["queue", "rank", "total"]
    assert float(parts["total"]) >= float(parts["rank"])
    assert figure(metrics, 'firstrank_request_seconds_count{model="default",route="/rerank",status="200"}') == 1
    assert "firstrank_build_info{" in metrics
    assert figure(metrics, "process_resident_memory_bytes") > 1e6


def test_servers_behind_are_told_of_the_trace():
    import asyncio

    seen = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent"))
        return httpx.Response(200, json={})

    async def ask() -> None:
        servers = Servers(["http://a"], connections=1, timeout=5, headers={}, transport=httpx.MockTransport(answer))
        with Tracing().request("POST", "/rerank", PARENT):
            await servers.post("/x", lambda url: {})
        await servers.post("/x", lambda url: {})

    asyncio.run(ask())
    assert seen == [PARENT, None]
    assert PASSED_ON.get() == {}


def test_without_a_collector_nothing_is_recorded():
    assert type(tracing_of(None)) is Tracing


def test_spans_are_the_callers_children_and_have_what_was_ranked():
    pytest.importorskip("opentelemetry.sdk", reason="pip install 'firstrank[otel]'")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracing = Exported("http://nowhere", exporter)
    with tracing.request("POST", "/v1/rerank", PARENT) as span, tracing.part("queue and rank"):
        assert PASSED_ON.get()["traceparent"].startswith(f"00-{TRACE}-")
        span.end(200, {"model": "default", "documents": 3}, "r1")
    tracing._provider.force_flush()
    part, request = exporter.get_finished_spans()
    tracing.close()
    assert (part.name, request.name) == ("queue and rank", "POST /v1/rerank")
    assert f"{request.context.trace_id:032x}" == TRACE
    assert part.parent.span_id == request.context.span_id
    assert request.attributes["firstrank.model"] == "default"
    assert request.attributes["http.response.status_code"] == 200
