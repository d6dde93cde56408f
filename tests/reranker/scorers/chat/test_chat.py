"""Hosted LLMs against a scripted host: what is asked, how answers are read, what they cost, and every way in which a host can fail."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest

from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import EngineLost, InputError, ModelError, ScorerError, TransientError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models import remote
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.openai import servers
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Request


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(servers, "_FIRST_REST", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Host(httpx.MockTransport):
    """A chat API: `answer` makes the text of a body, or a whole response."""

    def __init__(self, answer):
        super().__init__(self._handle)
        self.answer, self.bodies, self.headers = answer, [], []

    def _handle(self, request):
        assert request.url.path == "/v1/chat/completions"
        body = json.loads(request.content)
        self.bodies.append(body)
        self.headers.append(request.headers)
        found = self.answer(body)
        return found if isinstance(found, httpx.Response) else said(found)


def said(text, finish="stop", **message):
    choice = {"message": {"role": "assistant", "content": text} | message, "finish_reason": finish}
    return httpx.Response(200, json={"choices": [choice], "usage": {"prompt_tokens": 200, "completion_tokens": 20}})


def numbers_in(body):
    """number -> the passage's value, as the user's turn shows them."""
    return {int(number): float(value) for number, value in re.findall(r"\[(\d+)\] value (\S+)\n", body["messages"][-1]["content"])}


def best_first(body):
    """The right answer, in JSON where that was asked for."""
    value = numbers_in(body) or {1: 0.0, 2: 1.0}
    order = sorted(value, key=lambda one: -value[one])
    return json.dumps({"ranking": order}) if "response_format" in body else " > ".join(f"[{one}]" for one in order)


def request_of(n=5):
    return Request("which is larger?", tuple(Passage(f"d{i}", f"value {i}") for i in range(n)), "q")


def opened(answer=best_first, model="gpt-x", **more):
    host = Host(answer)
    return open_scorer(model, "chat", base_urls=["http://host/v1"], transport=host, **more)[0], host


def score(scorer, n=5):
    return asyncio.run(scorer.open(request_of(n)).score(tuple(range(n))))


def test_a_window_is_asked_once_and_its_ordering_becomes_scores(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    scorer, host = opened()
    scores = score(scorer)
    assert scores.values == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert (scores.prompt_tokens, scores.generated_tokens, scores.notes) == (200, 20, ())
    body = host.bodies[-1]
    assert body["model"] == "gpt-x"
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert body["response_format"]["json_schema"]["schema"]["properties"]["ranking"]["items"]["enum"] == [1, 2, 3, 4, 5]
    assert body["temperature"] == 0.0
    assert host.headers[-1]["authorization"] == "Bearer secret"
    assert "secret" not in repr(scorer.__dict__)


def test_every_strategy_runs_over_it():
    scorer, _ = opened()
    ranking = asyncio.run(Executor(scorer).rank(request_of(30), parse_strategy("tournament:window=6,k=5")))
    assert [result.docid for result in ranking][:5] == ["d29", "d28", "d27", "d26", "d25"]


def test_a_host_without_json_schema_is_found_out_and_its_text_is_parsed(caplog):
    def answer(body):
        if "response_format" in body:
            return httpx.Response(400, json={"error": {"message": "response_format is not supported"}})
        return best_first(body)

    with caplog.at_level("INFO"):
        scorer, host = opened(answer)
    assert "takes no JSON schema" in caplog.text
    assert score(scorer).values == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert "response_format" not in host.bodies[-1]
    with pytest.raises(ModelError, match="400 response_format is not supported"):
        opened(answer, engine={"format": "json"})


def test_what_was_thought_aloud_is_no_answer_and_what_was_mended_is_told():
    scorer, _ = opened(lambda body: "<think>perhaps [1] > [2]?</think> [2] > [2] > [1] > [9]" if numbers_in(body) else best_first(body))
    scores = score(scorer, 3)
    assert scores.values == (2.0, 3.0, 1.0)
    assert scores.notes == ("answer repaired: 1 repeated, 1 missing, 1 foreign",)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda: said("I cannot rank these."), "names none of the 5 passages: 'I cannot rank these.'"),
        (lambda: said(""), "names none of the 5 passages"),
        (lambda: said("[1] > [2", finish="length"), "cut short: give it more tokens with --engine-arg answer_tokens=N"),
        (lambda: said(None, refusal="No."), "the model refuses: No."),
        (lambda: httpx.Response(200, json={"object": "list"}), "is no chat completion"),
        (lambda: httpx.Response(400, json={"error": {"message": "context length exceeded"}}), "400 context length exceeded"),
    ],
)
def test_an_answer_that_says_nothing_fails_its_window(answer, problem):
    scorer, _ = opened(lambda body: answer() if numbers_in(body) else best_first(body))
    with pytest.raises(ScorerError, match=re.escape(problem)):
        score(scorer)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (httpx.Response(404, json={"error": {"message": "The model `gpt-x` does not exist"}}), "404 The model `gpt-x` does not exist"),
        (httpx.Response(401, json={"error": {"message": "no key"}}), "401: the server needs a key: set OPENAI_API_KEY"),
        (said("no idea"), "names none of the 2 passages"),
    ],
)
def test_a_host_that_cannot_serve_is_found_out_at_once(response, problem):
    with pytest.raises(ModelError, match=re.escape(problem)):
        opened(lambda body: response)


def test_a_host_that_is_busy_is_asked_again_when_it_says_so():
    waits = ["0", "0"]

    def answer(body):
        if numbers_in(body) and waits:
            return httpx.Response(429, json={"error": {"message": "slow down"}}, headers={"Retry-After": waits.pop()})
        return best_first(body)

    scorer, _ = opened(answer)
    ranking = asyncio.run(Executor(scorer).rank(request_of(), parse_strategy("full")))
    assert ranking[0].docid == "d4"
    assert waits == []


def test_a_host_that_dies_is_a_sentence():
    def answer(body):
        if numbers_in(body):
            raise httpx.ConnectError("refused")
        return best_first(body)

    scorer, _ = opened(answer)
    with pytest.raises((TransientError, EngineLost), match="http://host"):
        score(scorer)


PRICED = ModelSpec(name="gpt-x", template="chat", answer="permutation", prices={"input": 2.0, "output": 10.0})


def test_what_is_spent_is_told_and_a_ceiling_holds(monkeypatch):
    monkeypatch.setattr(remote, "remote_settings", lambda name, template: PRICED)
    scorer, _ = opened(max_cost=0.01)
    ranking = asyncio.run(Executor(scorer).rank(request_of(), parse_strategy("full")))
    assert ranking.trace.cost == pytest.approx((200 * 2 + 20 * 10) / 1e6)
    assert ranking.trace.to_dict()["cost"] == ranking.trace.cost
    assert scorer.purse.spent == pytest.approx(ranking.trace.cost)

    async def many():
        return await asyncio.gather(*(scorer.open(request_of()).score((0, 1, 2)) for _ in range(40)), return_exceptions=True)

    found = asyncio.run(many())
    refused = [one for one in found if isinstance(one, ScorerError)]
    assert refused
    assert "--max-cost 0.01: " in str(refused[0])
    assert len(refused) < 40
    assert scorer.purse.spent <= 0.01
    assert scorer.purse.aside == pytest.approx(0.0)


def test_a_ceiling_without_prices_and_settings_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="the model's YAML has no prices"):
        opened(max_cost=1.0)
    with pytest.raises(InputError, match=r"max_cost: only with backend chat"):
        Setup.of("default", max_cost=1.0)
    with pytest.raises(InputError, match=r"backend chat, engine settings \(there are served_model, .*speed: Extra inputs"):
        opened(engine={"speed": 1})
    with pytest.raises(InputError, match="backend chat: no server is named: give --base-url"):
        open_scorer("gpt-x", "chat")
    with pytest.raises(InputError, match="the host decides which revision it serves"):
        Setup.of("gpt-x", backend="chat", base_urls=["http://host"], revision="v2")


def test_a_setup_and_a_reranker_take_any_name_and_an_instruction():
    host = Host(best_first)
    with Reranker("org/some-model", backend="chat", base_urls=["http://host"], transport=host, instruction="prefer primes") as reranker:
        assert reranker.schedule.strategy == "sliding"
        ranking = reranker.rank("which?", ["value 1", "value 3", "value 2"])
    assert [result.docid for result in ranking] == ["1", "2", "0"]
    assert host.bodies[-1]["model"] == "org/some-model"
    assert host.bodies[-1]["messages"][0]["content"].endswith("query. prefer primes")
    setup = Setup.of("org/some-model", backend="chat", base_urls=["http://host"])
    setup.check(10)
    assert not setup.is_local
    assert "settings of org/some-model" in setup.facts()


def test_a_batch_that_reached_its_ceiling_goes_on_with_a_higher_one():
    facts = [Setup.of("org/some-model", backend="chat", base_urls=["http://host"], max_cost=most).facts() for most in (1.0, 2.0)]
    assert facts[0] == facts[1]


def test_passages_are_cut_by_width_and_no_folder_is_looked_for():
    scorer, host = opened()
    request = Request("q", (Passage("a", "word " * 2000), Passage("b", "short\n\nlines")), "q", passage_tokens=10)
    asyncio.run(scorer.open(request).score((0, 1)))
    user = host.bodies[-1]["messages"][-1]["content"]
    assert "[1] " + ("word " * 8)[:40] + "\n[2] short lines\n" in user
    assert (config_dir() / "prompts" / "chat.yaml").is_file()
