"""Load: the queue and its bound, deadlines, clients who leave, and what the metrics say of it."""

from __future__ import annotations

import asyncio

import pytest

from firstrank.server.admission import Share, TooSlow, Turns, retry_after
from firstrank.server.pace import Pace
from tests.reranker.fakes import FakeScorer
from tests.server.serving import Slow, body, figure, in_loop, serving, until


@in_loop
async def test_past_the_queue_429_with_retry_after():
    slow = Slow(concurrency=1)
    async with serving(slow.scorer, max_queue=2, slots=1) as client:
        service = client.app.state.service
        posts = [asyncio.ensure_future(client.post("/rerank", json=body("1"))) for _ in range(3)]
        await until(lambda: service.admission.inside == 3)
        refused = await client.post("/rerank", json=body("1"))
        slow.gate.set()
        statuses = [(await post).status_code for post in posts]
        after = await client.post("/rerank", json=body("1"))
        metrics = (await client.get("/metrics")).text
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert statuses == [200, 200, 200]
    assert after.status_code == 200
    assert figure(metrics, 'firstrank_rejections_total{reason="overloaded"}') == 1


@in_loop
async def test_retry_after_grows_with_the_backlog():
    turns = Turns(slots=2)
    turns.pace.learn(0.5)

    async def hold(windows, release):
        async with turns.take("a", windows, 1000):
            await release.wait()

    release = asyncio.Event()
    tasks = [asyncio.ensure_future(hold(10, release)) for _ in range(6)]
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (2, 4)
    assert turns.seconds() == pytest.approx(60 * 0.5)
    assert retry_after(turns.seconds()) == 30
    with pytest.raises(TooSlow, match="35 s"):
        async with turns.take("a", 10, 10.0):
            pass
    tasks[5].cancel()
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (2, 3)
    assert turns.seconds() == pytest.approx(50 * 0.5)
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (turns.running, turns.waiting, turns.seconds()) == (0, 0, 0)


@in_loop
async def test_nobody_waits_for_more_windows_of_another_than_it_has_itself():
    turns = Turns(slots=8)
    turns.pace.learn(1.0)
    async with turns.take("a", 100), turns.take("a", 200), turns.take("b", 50):
        assert turns.seconds("c", 2) == 2 + 2 + 2
        assert turns.seconds("b", 2) == (2 + 2) + 4
        assert turns.seconds("a", 2) == (2 + 2 + 2) + 6
        assert turns.seconds("c", 80) == 80 + 80 + 50


@in_loop
async def test_slots_are_shared_out_by_client_and_one_of_each_needs_none():
    share, inside = Share(2), []

    async def hold(client, name, release):
        async with share.enter(client):
            inside.append(name)
            await release.wait()

    gates = {name: asyncio.Event() for name in ("a1", "a2", "a3", "a4", "b1", "b2")}
    tasks = [asyncio.ensure_future(hold(name[0], name, gates[name])) for name in gates]
    await asyncio.sleep(0.01)
    assert inside == ["a1", "a2", "b1"]
    gates["a1"].set()
    await asyncio.sleep(0.01)
    assert inside == ["a1", "a2", "b1"]  # still as many as there are slots
    gates["a2"].set()
    await asyncio.sleep(0.01)
    assert inside[3:] == ["a3"]  # who has none in comes before who has one
    for gate in gates.values():
        gate.set()
    await asyncio.gather(*tasks)
    assert sorted(inside) == sorted(gates)
    async with asyncio.timeout(1), share.enter("c"):
        pass


def test_retry_after_is_whole_seconds_within_reason():
    assert [retry_after(seconds) for seconds in (0.0, 0.2, 1.2, 7200.0)] == [1, 1, 2, 60]


def test_a_pace_is_busy_time_by_windows_and_is_forgotten():
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.seconds is None
    for _ in range(3):
        pace.begin()
    for _ in range(3):  # one after another: 2 s each
        now[0] += 2.0
        pace.end(scored=True)
    assert pace.seconds == pytest.approx(2.0)
    now[0] += 30.0  # nothing to do: no time of a window's
    pace.begin()
    now[0] += 1.0
    pace.end(scored=False)
    assert pace.seconds == pytest.approx(2.0)
    now[0] += 61.0
    assert pace.seconds is None


@in_loop
async def test_a_model_takes_a_request_however_slow_it_was_a_minute_ago():
    now = [0.0]
    turns = Turns(1, Pace(lambda: now[0]))
    turns.pace.learn(100.0)
    with pytest.raises(TooSlow):
        async with turns.take("a", 2, 10.0):
            pass
    now[0] += 61.0
    async with turns.take("a", 2, 10.0):
        assert turns.running == 1


@in_loop
async def test_windows_of_different_clients_share_batches():
    async with serving(FakeScorer(seconds=0.02)) as client:
        await asyncio.gather(*(client.post("/rerank", json=body(str(i), "2")) for i in range(16)))
        metrics = (await client.get("/metrics")).text
    assert figure(metrics, "firstrank_batch_windows_sum") / figure(metrics, "firstrank_batch_windows_count") > 4
    assert figure(metrics, "firstrank_windows_total") == 16
    assert figure(metrics, "firstrank_prompt_tokens_total") == 320
    assert figure(metrics, "firstrank_documents_total") == 32


@in_loop
async def test_a_deadline_is_kept_while_waiting_and_while_ranking():
    slow = Slow(concurrency=1)
    async with serving(slow.scorer) as client:
        posts = [client.post("/rerank", json=body("1"), headers={"x-request-timeout": "0.5"}) for _ in range(3)]
        answers = await asyncio.gather(*posts)
        slow.gate.set()
        after = await client.post("/rerank", json=body("1"))
        metrics = (await client.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [504, 504, 504]
    assert answers[0].json()["error"]["type"] == "deadline"
    assert after.status_code == 200
    assert slow.scorer.open_sessions == 0
    for name in ("firstrank_requests_inside", "firstrank_requests_waiting", "firstrank_requests_running", "firstrank_windows_in_flight"):
        assert figure(metrics, name) == 0
    assert figure(metrics, 'firstrank_rejections_total{reason="deadline"}') == 3


@in_loop
async def test_the_services_timeout_is_the_most_that_a_request_can_ask_for():
    slow = Slow()
    async with serving(slow.scorer, timeout=0.5) as client:
        answer = await client.post("/rerank", json=body("1"), headers={"x-request-timeout": "3600"})
        slow.gate.set()
    assert answer.status_code == 504


@in_loop
async def test_a_body_that_comes_too_slowly_is_408():
    async def slowly():
        yield b"{"
        await asyncio.sleep(10)

    async with serving(read_timeout=0.05) as client:
        answer = await client.post("/rerank", content=slowly())
        assert client.app.state.service.admission.inside == 0
    assert answer.status_code == 408


async def post_and_leave(app, leave: asyncio.Event) -> None:
    """A raw ASGI request whose client disconnects; what it is still sent goes nowhere."""
    messages = [{"type": "http.request", "body": b'{"query": "q", "documents": ["1", "2"]}', "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        """Nobody is there."""

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/rerank",
        "raw_path": b"/rerank",
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }
    await app(scope | {"scheme": "http", "server": ("test", 80), "client": ("test", 1), "http_version": "1.1"}, receive, send)


@in_loop
async def test_500_clients_that_leave_leave_nothing_behind():
    slow = Slow(concurrency=4)
    leave = asyncio.Event()
    async with serving(slow.scorer, max_queue=1000) as client:
        service = client.app.state.service
        leaving = [asyncio.ensure_future(post_and_leave(client.app, leave)) for _ in range(500)]
        await until(lambda: service.admission.inside == 500 and slow.started.is_set())
        before = (await client.get("/metrics")).text
        leave.set()
        await asyncio.gather(*leaving)
        metrics = (await client.get("/metrics")).text
        slow.gate.set()
        after = await client.post("/rerank", json=body("1"))
        scored = figure((await client.get("/metrics")).text, "firstrank_windows_total")
    assert figure(before, "firstrank_requests_running") == 500
    for name in ("firstrank_requests_inside", "firstrank_requests_waiting", "firstrank_requests_running", "firstrank_windows_in_flight"):
        assert figure(metrics, name) == 0
    assert figure(metrics, 'firstrank_rejections_total{reason="client_gone"}') == 500
    assert after.status_code == 200
    assert scored == 1
    assert len(slow.scorer.batches) <= 3  # the warm-up's, the one that was being scored, and the last request's
