"""A real `vllm serve` over loopback, asked by the remote scorer."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.types import Passage, Request
from tests.reranker.scorers.served import served
from tests.reranker.scorers.windows import assert_agree, score_all

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with served(tmp_path_factory.mktemp("vllm")) as address:
        yield address


def counts(url):
    said = httpx.get(f"{url}/metrics", trust_env=False, timeout=300).text
    names = ('request_success_total{engine="0",finished_reason="length"', "generation_tokens_total{")
    return [sum(float(value) for value in re.findall(rf"^vllm:{re.escape(name)}.*}} (\S+)$", said, re.MULTILINE)) for name in names]


def test_a_server_answers_by_token_id_as_transformers_does(url, parity_windows, reference):
    scorer, _ = open_scorer("first-smollm2", "openai", base_urls=(url,))
    before = counts(url)
    found = asyncio.run(score_all(scorer, parity_windows, 16))
    assert_agree(found, reference)
    assert [now - then for now, then in zip(counts(url), before, strict=True)] == [len(found), len(found)]
    assert [one.prompt_tokens for one in found] == [one.prompt_tokens for one in reference]


def test_a_server_answers_for_a_hundred_labels(url):
    scorer, _ = open_scorer("first-smollm2", "openai", base_urls=(url,))
    request = Request("do bees make honey?", tuple(Passage(str(i), f"bees, part {i}") for i in range(100)))
    [scores] = asyncio.run(score_all(scorer, [request], 1))
    assert len(set(scores.values)) > 90


def test_an_ordering_is_generated_by_a_server(url, parity_windows):
    scorer, _ = open_scorer("first-smollm2", "openai", base_urls=(url,), answer="permutation")
    [scores] = asyncio.run(score_all(scorer, parity_windows[:1], 1))
    assert sorted(scores.values) == list(range(1, 9))
    assert scores.generated_tokens > 1
