"""Models that read a passage at a time, at servers: what is asked, what is read, and what is refused."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from firstrank.reranker.errors import ModelError, TransientError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Request
from tests.reranker.scorers.families import CARD, make
from tests.reranker.scorers.remote import FakeServers, completion

REQUEST = Request("who wrote Emma?", tuple(Passage(str(i), f"passage {i}") for i in range(6)), "q")


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    return make(tmp_path_factory.mktemp("pointwise"), tiny_model, "llama")


@pytest.fixture(scope="module")
def single(tiny_model, tmp_path_factory):
    return make(tmp_path_factory.mktemp("single"), tiny_model, "llama", CARD.replace(", no: n", ""))


def by_length(level=-1.0):
    """yes: the prompt's number of tokens, a hundredth each, below `level`; no: half of that."""

    def answer(request, body):
        value = level - len(body["prompt"]) % 89 / 100
        found = dict(zip(body["logprob_token_ids"], (value, value / 2), strict=False))
        return completion({f"token_id:{index}": one for index, one in found.items()} | {"token_id:0": level})

    return answer


def opened(folder, transport, **engine):
    return open_scorer(str(folder), "openai", base_urls=["http://one"], transport=transport, engine=engine)[0]


def test_each_passage_is_a_prompt_of_header_and_suffix_asked_once(folder):
    transport = FakeServers(by_length())
    scorer = opened(folder, transport)
    transport.bodies.clear()
    model = load_model(str(folder))
    encoded = model.pointwise.encode(REQUEST)
    ranking = asyncio.run(Executor(scorer).rank(REQUEST, parse_strategy("sliding:window=4,stride=2")))
    assert sorted(body["prompt"] for body in transport.bodies) == sorted(map(encoded.prompt, range(6)))
    assert all(body["logprob_token_ids"] == list(model.pointwise.ids) for body in transport.bodies)
    assert ranking.trace.prompt_tokens == sum(len(encoded.prompt(i)) for i in range(6))
    assert len(ranking.trace.windows) == 2


def test_a_score_is_yes_less_no(folder):
    transport = FakeServers(by_length())
    scorer = opened(folder, transport)
    encoded = load_model(str(folder)).pointwise.encode(REQUEST)
    scores = asyncio.run(scorer.open(REQUEST).score((4, 2)))
    assert scores.values == pytest.approx([(-1.0 - len(encoded.prompt(i)) % 89 / 100) / 2 for i in (4, 2)])


def test_a_logit_alone_needs_a_server_that_gives_logits(single):
    with pytest.raises(ModelError, match=r"http://one: this model needs a token's raw logit, .* --logprobs-mode raw_logits"):
        opened(single, FakeServers(by_length()))
    with pytest.raises(ModelError, match="which labels=top does not give"):
        opened(single, FakeServers(by_length()), labels="top")
    scorer = opened(single, FakeServers(by_length(level=9.0)))
    assert len(asyncio.run(scorer.open(REQUEST).score((0, 1))).values) == 2


def test_a_passage_that_failed_is_read_again_and_the_others_are_not(folder):
    failing = []

    def answer(request, body):
        if body["prompt"] in failing:
            failing.remove(body["prompt"])
            return httpx.Response(503, json={"error": {"message": "busy"}}, headers={"Retry-After": "0"})
        return by_length()(request, body)

    transport = FakeServers(answer)
    scorer = opened(folder, transport)
    encoded = load_model(str(folder)).pointwise.encode(REQUEST)
    failing.append(encoded.prompt(3))
    transport.bodies.clear()

    async def asked():
        session = scorer.open(REQUEST)
        with pytest.raises(TransientError, match="busy"):
            await session.score(tuple(range(6)))
        return await session.score(tuple(range(6)))

    assert asyncio.run(asked()).prompt_tokens == len(encoded.prompt(3))
    assert len(transport.bodies) == 7
