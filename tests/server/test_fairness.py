"""Who asks much does not keep others waiting: windows take turns, and there are ceilings. Counted in windows, never in seconds."""

from __future__ import annotations

import asyncio
import threading

import pytest

from firstrank.reranker.errors import InputError, ScorerError
from firstrank.reranker.executor.executor import so_far
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.registry import WARM_UP
from firstrank.server.windows import asked_schedule, strategy_of, windows_of
from tests.reranker.fakes import FakeScorer
from tests.server.serving import body, figure, in_loop, serving, until

NUMBERS = [str(number) for number in range(200)]
WIDE = NUMBERS[:60]
KEYS = ["a name=greedy", "b name=small"]


class Counted:
    """One window at a time, each held until the loop has had its turn; `owners` are those whose windows were scored, in order."""

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.scorer = FakeScorer(hook=self._hook, max_windows=1, seconds=0.002, concurrency=2)

    def _hook(self, owner: str, texts: list[str]) -> None:
        if owner not in (WARM_UP.qid, "longest"):
            self.owners.append(owner)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("key", "most"), [("b", 2), ("a", 3)])
@in_loop
async def test_a_small_request_waits_for_a_window_or_two_of_greedy_ones(key, most):
    counted = Counted()
    async with serving(counted.scorer, api_keys=KEYS) as client:
        greedy = body(*NUMBERS, strategy="sliding:window=4,stride=1")
        tasks = [asyncio.ensure_future(client.post("/rerank", json=greedy, headers=bearer("a"))) for _ in range(2)]
        await until(lambda: len(counted.owners) > 10)
        waited = []
        for _ in range(5):
            before = len(counted.owners)
            answer = await client.post("/rerank", json=body("1", "2"), headers=bearer(key))
            assert answer.status_code == 200
            waited.append(len(counted.owners) - before - 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(waited)[2] <= most, waited  # beside the window that was being scored, and those that came while the answer was written


@in_loop
async def test_windows_go_round_by_client_not_by_request():
    counted = Counted()
    async with serving(counted.scorer, api_keys=KEYS) as client:
        wide = body(*WIDE, strategy="topdown:window=4,k=2")
        many = [asyncio.ensure_future(client.post("/rerank", json=wide, headers=bearer("a"))) for _ in range(6)]
        one = asyncio.ensure_future(client.post("/rerank", json=wide, headers=bearer("b")))
        await one
        first = counted.owners.index("key small")
        last = len(counted.owners) - 1 - counted.owners[::-1].index("key small")
        share = counted.owners.count("key small") / (last - first + 1)
        done = sum(task.done() for task in many)
        await asyncio.gather(*many)
    assert done == 0
    assert share > 0.4


@in_loop
async def test_the_small_one_is_ranked_though_all_slots_are_taken():
    counted = Counted()
    async with serving(counted.scorer, slots=1) as client:
        greedy = body(*NUMBERS, strategy="sliding:window=4,stride=1")
        tasks = [asyncio.ensure_future(client.post("/rerank", json=greedy)) for _ in range(3)]
        await until(lambda: len(counted.owners) > 3)
        answer = await client.post("/rerank", json=body("1", "2"))
        metrics = (await client.get("/metrics")).text
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert answer.status_code == 200
    assert figure(metrics, "firstrank_requests_waiting") == 2


@in_loop
async def test_a_request_has_a_ceiling_of_windows_and_a_list_of_strategies():
    async with serving(max_windows=20, strategies="sliding,consistent") as client:
        over = await client.post("/rerank", json=body(*NUMBERS, strategy="sliding:window=4,stride=1"))
        repeated = await client.post("/rerank", json=body(*NUMBERS, strategy="consistent:shuffles=3"))
        under = await client.post("/rerank", json=body(*NUMBERS))
        other = await client.post("/rerank", json=body("1", "2", strategy="tournament"))
        inner = await client.post("/rerank", json=body("1", "2", strategy="consistent:of=blitz"))
    async with serving() as client:
        default = await client.post("/rerank", json=body("1", "2", strategy="consistent:shuffles=2"))
    assert [one.status_code for one in (over, repeated, under, other, inner, default)] == [422, 422, 200, 422, 422, 422]
    assert "more than 20 windows" in over.json()["message"]
    assert "'tournament' is not allowed here; use consistent, sliding" in other.json()["message"]


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 1), (20, 1), (100, 9), (1000, 99)])
def test_windows_are_counted_before_any_is_scored(n, count):
    assert windows_of(Schedule(), None, n, 1000) == count


def test_a_models_own_strategy_is_always_allowed():
    own = Schedule("consistent:shuffles=2")
    assert asked_schedule(own, None, ()) == own
    assert asked_schedule(own, "consistent:shuffles=3", ("sliding",)).strategy == "consistent:shuffles=3"
    with pytest.raises(InputError, match="16 at most"):
        asked_schedule(own, "consistent:shuffles=17", ("consistent",))
    assert strategy_of(own, None, 3) is not None


@in_loop
async def test_what_cannot_be_done_in_time_is_refused_at_once_with_the_estimate():
    scorer = FakeScorer(max_windows=1)
    async with serving(scorer) as client:
        model = client.app.state.service.registry.models["default"]
        for _ in range(100):
            model.turns.pace.learn(1.0)
        before = len(scorer.batches)
        refused = await client.post("/rerank", json=body(*NUMBERS), headers={"x-request-timeout": "5"})
        fits = await client.post("/rerank", json=body("1", "2"), headers={"x-request-timeout": "5"})
        partial = await client.post("/rerank", json=body(*NUMBERS, partial=True), headers={"x-request-timeout": "5"})
    assert refused.status_code == 429
    assert 15 < float(refused.headers["x-estimated-seconds"]) < 25
    assert "19 windows" in refused.json()["message"]
    assert int(refused.headers["retry-after"]) > 10
    assert len(scorer.batches) - before <= 20
    assert fits.status_code == partial.status_code == 200
    assert "partial" not in partial.json()


@in_loop
async def test_partial_is_the_best_order_so_far_and_says_so():
    scored, gate = [], threading.Event()

    def hook(owner, texts):
        if owner not in (WARM_UP.qid, "longest"):
            scored.append(texts)
            if len(scored) > 10:
                assert gate.wait(20)

    async with serving(FakeScorer(hook=hook, max_windows=1)) as client:
        asked = body(*NUMBERS, strategy="sliding:window=4,stride=1", partial=True)
        found = (await client.post("/rerank", json=asked, headers={"x-request-timeout": "2"})).json()
        gate.set()
    assert found["partial"] is True
    assert "partial: the time ran out after 10 windows; this is the best order so far" in found["warnings"]
    order = [one["index"] for one in found["results"]]
    assert order[:187] == list(range(187))
    assert order[187] == 199  # the best, last of all before, has come up; so far ten windows have carried it
    assert sorted(order) == list(range(200))


def test_the_order_so_far_is_that_of_the_windows_one_after_another():
    assert so_far([0, 1, 2, 3, 4], []) == [0, 1, 2, 3, 4]
    assert so_far([0, 1, 2, 3, 4], [((3, 4), (0.0, 1.0)), ((2, 4), (0.0, 1.0))]) == [0, 1, 4, 2, 3]


@in_loop
async def test_documents_are_counted_by_key_and_reading_metrics_is_not():
    async with serving(api_keys=["a document_rate_limit=10 rate_limit=5", "b"], rate_limit=3) as client:
        documents = [(await client.post("/rerank", json=body("1", "2", "3", "4"), headers=bearer("a"))).status_code for _ in range(3)]
        for _ in range(10):
            assert (await client.get("/metrics", headers=bearer("b"))).status_code == 200
        requests = [(await client.post("/rerank", json=body("1"), headers=bearer("b"))).status_code for _ in range(4)]
    assert documents == [200, 200, 429]
    assert requests == [200, 200, 200, 429]


@in_loop
async def test_tokens_are_counted_by_key_those_of_a_failed_request_too():
    """Ten tokens for each passage of a window."""
    calls = []

    def second_fails(qid, texts):
        calls.append(len(texts))
        if calls == [len(WARM_UP.passages), 20, 20]:
            raise ScorerError("the engine has stumbled")

    async with serving(FakeScorer(hook=second_fails), api_keys=["a token_rate_limit=250", "b"], token_rate_limit=1) as client:
        failed = await client.post("/rerank", json=body(*map(str, range(25))), headers=bearer("a"))
        answers = [await client.post("/rerank", json=body("1", "2", "3"), headers=bearer(key)) for key in "aabb"]
    assert (failed.status_code, calls[1:3]) == (500, [20, 20])
    assert [one.status_code for one in answers] == [200, 200, 200, 429]  # a has 50 left, uses 30, and may go over once
    assert "tokens" in answers[-1].json()["error"]["message"]
