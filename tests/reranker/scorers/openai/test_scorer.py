"""The remote scorer against servers that need no engine: what it asks, how it reads, and what it does when they fail."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from firstrank.reranker.errors import EngineLost, InputError, ModelError, ScorerError, TransientError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.openai import servers
from firstrank.reranker.types import Failure, Passage, Ranking, Request
from tests.reranker.fakes import one_window
from tests.reranker.scorers.remote import FakeServers, by_id, completion, logprob, top_k

URL = "http://one"


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """Rests of milliseconds, and no key from the developer's environment."""
    monkeypatch.setattr(servers, "_FIRST_REST", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def request_of(n=3, qid="q"):
    return Request("who wrote Emma?", tuple(Passage(str(i), f"passage {i}") for i in range(n)), qid)


def opened(tiny_model, transport, urls=(URL,), answer=None, **engine):
    return open_scorer(str(tiny_model), "openai", base_urls=urls, transport=transport, answer=answer, engine=engine)[0]


def score(scorer, n=3):
    session = scorer.open(request_of(n))
    return asyncio.run(session.score(tuple(range(n))))


def test_a_window_is_asked_by_token_ids_and_read_by_token_ids(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport, urls=("http://one/v1/",))
    scores = score(scorer)
    body = transport.bodies[-1]
    labels = body["logprob_token_ids"]
    assert scores.values == tuple(map(logprob, labels))
    assert len(labels) == 3
    assert all(isinstance(index, int) for index in body["prompt"])
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("served", 1, 0.0)
    assert scores.prompt_tokens == len(body["prompt"])
    assert scores.generated_tokens == 1


def test_a_server_that_is_too_old_is_found_out_at_once(tiny_model):
    with pytest.raises(ModelError, match=r"http://one: .*lacks 2 of 2 labels: it does not answer by token id.*logprob_token_ids.*0\.32"):
        opened(tiny_model, FakeServers(top_k))


def test_another_server_is_used_by_top_k_when_that_is_asked_for(tiny_model):
    scorer = opened(tiny_model, FakeServers(top_k), labels="top", top=4)
    assert score(scorer, 4).values == (-0.1, 0.0, -0.3, -0.2)


def test_a_label_that_top_k_lost_is_an_error_not_a_guess(tiny_model):
    scorer = opened(tiny_model, FakeServers(top_k), labels="top", top=4)
    with pytest.raises(ScorerError, match="lacks 1 of 5 labels"):
        score(scorer, 5)


def test_an_ordering_is_generated_and_what_it_lacks_is_told(tiny_model):
    def answer(request, body):
        assert body["max_tokens"] > 1
        return httpx.Response(200, json={"choices": [{"text": "B] > [A]"}], "usage": {"completion_tokens": 5}})

    scores = score(opened(tiny_model, FakeServers(answer), answer="permutation"))
    assert scores.values == (2.0, 3.0, 1.0)
    assert scores.generated_tokens == 5
    assert scores.notes == ("answer repaired: 0 repeated, 1 missing, 0 foreign",)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(tiny_model, status):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)
    refusals = iter([status, status])

    def sometimes(request, body):
        return httpx.Response(refused) if (refused := next(refusals, None)) else by_id(request, body)

    transport.answer = sometimes
    ranked = asyncio.run(Executor(scorer).rank(request_of(), one_window))
    assert len(ranked) == 3
    assert transport.asked["one"] == 1 + 3


def test_a_server_that_stays_busy_fails_the_request_with_its_reason(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)
    transport.answer = lambda request, body: httpx.Response(429, json={"error": {"message": "too many requests"}})
    assert scorer.alive
    with pytest.raises(TransientError, match="http://one: 429 too many requests"):
        asyncio.run(Executor(scorer).rank(request_of(), one_window))
    assert not scorer.alive


def test_what_a_server_asks_for_in_retry_after_is_kept(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)
    transport.answer = lambda request, body: httpx.Response(503, headers={"Retry-After": "7"})

    async def try_once():
        with pytest.raises(TransientError):
            await scorer.open(request_of()).score((0, 1))

    asyncio.run(try_once())
    [server] = scorer._servers.all
    assert 6 < server.rests_until - servers.time.monotonic() <= 7


def test_a_refused_window_is_not_tried_again(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)
    transport.answer = lambda request, body: httpx.Response(400, json={"error": {"message": "prompt too long"}})
    with pytest.raises(ScorerError, match="refuses: 400 prompt too long") as refused:
        asyncio.run(Executor(scorer).rank(request_of(), one_window))
    assert not isinstance(refused.value, TransientError)
    assert transport.asked["one"] == 2


class QuickAndStuck(FakeServers):
    """`stuck` answers nothing until `quick` has answered forty, and `quick` nothing until `stuck` has been asked."""

    def arm(self):
        self.held = {"quick": asyncio.Event(), "stuck": asyncio.Event()}

    async def handle_async_request(self, request):
        if self.held and request.url.host == "stuck":
            self.held["quick"].set()
        return await super().handle_async_request(request)

    def _handle(self, request):
        if self.held and self.asked["quick"] >= 40:
            self.held["stuck"].set()
        return super()._handle(request)


def test_windows_go_to_the_least_busy_server_and_no_server_gets_too_many(tiny_model):
    """A server that is stuck must not be given half of the windows."""
    transport = QuickAndStuck()
    scorer = opened(tiny_model, transport, urls=("http://quick", "http://stuck"), connections=4)

    async def all_of(n):
        transport.arm()
        requests = (request_of(qid=str(i)) for i in range(n))
        async with asyncio.timeout(60):
            return [one async for one in Executor(scorer).stream(requests, one_window, ordered=False)]

    assert all(isinstance(one, Ranking) for one in asyncio.run(all_of(60)))
    assert transport.asked["quick"] >= 40
    assert transport.asked["stuck"] > 1
    assert max(transport.most.values()) <= 4


def test_while_one_server_is_down_the_other_does_the_work(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport, urls=("http://up", "http://down"))

    def half(request, body):
        if request.url.host == "down":
            raise httpx.ConnectError("connection refused", request=request)
        return by_id(request, body)

    transport.answer = half

    async def all_of(n):
        requests = (request_of(qid=str(i)) for i in range(n))
        return [one async for one in Executor(scorer).stream(requests, one_window)]

    assert all(isinstance(one, Ranking) for one in asyncio.run(all_of(40)))
    assert scorer.alive


def test_servers_that_are_gone_for_good_end_the_batch(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)

    def gone(request, body):
        raise httpx.ConnectError("connection refused", request=request)

    transport.answer = gone

    async def all_of(n):
        requests = (request_of(qid=str(i)) for i in range(n))
        return [one async for one in Executor(scorer).stream(requests, one_window)]

    failures = [one for one in asyncio.run(all_of(80)) if isinstance(one, Failure)]
    assert len(failures) == 80
    assert any(isinstance(one.error, EngineLost) and "no server answers: http://one" in str(one.error) for one in failures)


def test_cancelling_a_request_hangs_up(tiny_model):
    transport = FakeServers()
    scorer = opened(tiny_model, transport)

    async def cancelled():
        transport.held["one"] = asyncio.Event()
        task = asyncio.create_task(Executor(scorer).rank(request_of(), one_window))
        while not transport.in_flight["one"]:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return transport.in_flight["one"]

    assert asyncio.run(cancelled()) == 0


def test_the_servers_context_bounds_the_prompts(tiny_model):
    transport = FakeServers(context=512)
    scorer = opened(tiny_model, transport)
    long = Request("why?", tuple(Passage(str(i), "b " * 400) for i in range(10)))
    asyncio.run(scorer.open(long).score(tuple(range(10))))
    assert 400 < len(transport.bodies[-1]["prompt"]) < 512


def test_the_key_is_sent(tiny_model, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    transport = FakeServers()
    score(opened(tiny_model, transport))
    assert {headers["Authorization"] for headers in transport.headers} == {"Bearer secret"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"base_urls": ()}, "no server is named"),
        ({"base_urls": ("localhost:8000",)}, "give scheme and host"),
        ({"base_urls": (URL,), "engine": {"labels": "guess"}}, "labels: Input should be 'ids', 'top', 'sglang'"),
        ({"base_urls": (URL,), "engine": {"speed": 2}}, r"there are served_model, .*speed: Extra inputs"),
        ({"base_urls": (URL,), "engine": {"served_model": "other"}}, "does not serve 'other'; it serves served"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(tiny_model, options, problem):
    with pytest.raises(InputError, match=problem):
        open_scorer(str(tiny_model), "openai", transport=FakeServers(), **options)


def test_a_server_of_several_models_wants_a_name(tiny_model):
    with pytest.raises(ModelError, match="serves one, two: choose one"):
        opened(tiny_model, FakeServers(models=("one", "two")))
    transport = FakeServers(models=("one", "two"))
    score(opened(tiny_model, transport, served_model="two"))
    assert transport.bodies[-1]["model"] == "two"


def test_a_server_that_is_not_there_is_a_sentence(tiny_model):
    def gone(request):
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(ModelError, match=r"http://one/v1/models: no server answers there .*vllm serve"):
        opened(tiny_model, httpx.MockTransport(gone))


def test_a_key_that_is_wanted_and_an_answer_that_is_no_completion(tiny_model):
    with pytest.raises(ModelError, match="needs a key: set OPENAI_API_KEY"):
        opened(tiny_model, httpx.MockTransport(lambda request: httpx.Response(401)))
    with pytest.raises(ModelError, match="is no completion"):
        opened(tiny_model, FakeServers(lambda request, body: httpx.Response(200, json={"choices": []})))
    with pytest.raises(ModelError, match="lacks 2 of 2 labels"):
        opened(tiny_model, FakeServers(lambda request, body: completion({})))


def test_more_candidates_than_labels_are_refused(tiny_model):
    scorer = opened(tiny_model, FakeServers())
    session = scorer.open(request_of(200))
    with pytest.raises(InputError, match=r"a window of 129 candidates is too long: the model's labels and context allow \d+"):
        asyncio.run(session.score(tuple(range(129))))
