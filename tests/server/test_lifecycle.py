"""Start and stop: models load while the service is up already, and a stop lets running requests end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.registry import ServedModel
from tests.reranker.fakes import FakeScorer
from tests.server.serving import Slow, body, in_loop, serving, until


@in_loop
async def test_health_answers_while_the_model_loads():
    gate = threading.Event()

    def opener():
        assert gate.wait(20)
        return FakeScorer(), Schedule()

    async with serving(openers={"default": opener}, ready=False) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        loading = await client.get("/ready")
        refused = await client.post("/rerank", json=body("1"))
        gate.set()
        await until(lambda: client.app.state.service.registry.ready)
        ready = await client.get("/ready")
    assert (loading.status_code, loading.json()) == (503, {"status": "loading", "models": {"default": "loading"}})
    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "not_ready"
    assert refused.headers["retry-after"]
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "models": {"default": "ready"}})


@pytest.mark.parametrize("error", [ModelError("model 'x': no such name"), ZeroDivisionError("s3cret")])
@in_loop
async def test_a_model_that_cannot_be_loaded_says_why(error):
    def opener():
        raise error

    async with serving(openers={"default": opener}, ready=False) as client:
        await until(lambda: client.app.state.service.registry.models["default"].state == "failed")
        answer = await client.post("/rerank", json=body("1"))
        ready = await client.get("/ready")
    assert answer.status_code == ready.status_code == 503
    assert ("no such name" in answer.text) is isinstance(error, ModelError)
    assert "s3cret" not in answer.text


@in_loop
async def test_a_model_that_cannot_rank_is_never_ready():
    def hook(qid, texts):
        raise ScorerError("no window of this model can be scored")

    told = []
    async with serving(FakeScorer(hook=hook), ready=False, failed=told.append) as client:
        await until(lambda: bool(told))
        ready = await client.get("/ready")
    assert isinstance(told[0], ScorerError)
    assert (ready.status_code, ready.json()["models"]) == (503, {"default": "failed"})


@in_loop
async def test_a_stop_lets_running_requests_end_and_takes_no_new_ones():
    slow = Slow(concurrency=1)
    async with serving(slow.scorer, drain=20) as client:
        posts = [asyncio.ensure_future(client.post("/rerank", json=body("1"))) for _ in range(2)]
        await until(lambda: client.app.state.service.admission.inside == 2)
        client.app.state.service.drain()
        late = await client.post("/rerank", json=body("1"))
        ready = await client.get("/ready")
        slow.gate.set()
        statuses = [(await post).status_code for post in posts]
    assert late.status_code == ready.status_code == 503
    assert late.json()["error"]["type"] == "stopping"
    assert statuses == [200, 200]


@in_loop
async def test_a_drain_has_its_limit():
    slow = Slow(concurrency=1)
    async with serving(slow.scorer, drain=0.05) as client:
        posts = [asyncio.ensure_future(client.post("/rerank", json=body("1"))) for _ in range(2)]
        await until(lambda: client.app.state.service.admission.inside == 2)
        client.app.state.service.drain()
        answers = [await post for post in posts]
        slow.gate.set()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].json()["error"]["type"] == "stopping"


@in_loop
async def test_models_that_come_and_go_faster_than_they_load_leave_nothing_behind():
    """One is loaded at a time, and none that has gone meanwhile."""
    gate, opened, closed = threading.Event(), [], []

    def opener():
        scorer = FakeScorer()
        scorer.close = lambda: closed.append(scorer)
        opened.append(scorer)
        assert gate.wait(60)
        return scorer, Schedule()

    async with serving() as client:
        registry = client.app.state.service.registry
        stays = registry.models["default"]
        for _ in range(20):
            fresh = ServedModel("second", opener, client.app.state.service.metrics, slots=None)
            registry.replace([stays, fresh], {})
            await asyncio.sleep(0)
            registry.replace([stays], {})
        registry.replace([stays, fresh := ServedModel("second", opener, client.app.state.service.metrics, slots=None)], {})
        await until(lambda: len(opened) == 1)
        gate.set()
        await until(lambda: fresh.state == "ready")
        await until(lambda: not any(name.startswith("close") for name in registry._tasks))
        assert len(opened) == 2
        assert closed == opened[:1]
