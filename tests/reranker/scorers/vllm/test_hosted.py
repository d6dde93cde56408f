"""A real `vllm serve` over loopback as a host: the chat API, the decision endpoint, and a model that reads a passage at a time."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.strategies.register import parse_strategy
from tests.reranker.scorers.served import served
from tests.reranker.scorers.windows import NEAR_TIE, score_all, windows

pytestmark = pytest.mark.vllm
CARD = """
template: compact-mark
answer: pointwise
pointwise: {yes: "[", no: "]"}
context: 2048
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with served(tmp_path_factory.mktemp("vllm")) as address:
        yield address


def test_a_model_that_the_server_cannot_decide_with_is_refused_in_its_own_words(url):
    with pytest.raises(ModelError, match="501 The model does not support the structured decision API"):
        open_scorer("ranker", "decisions", base_urls=(url,))


def test_a_chat_model_orders_by_a_json_schema(url):
    scorer, _ = open_scorer("ranker", "chat", base_urls=(url,))
    assert set(scorer._as_json.values()) == {True}
    [request] = windows(1, n=5, words=8)
    ranking = asyncio.run(Executor(scorer).rank(request, parse_strategy("full")))
    assert sorted(result.index for result in ranking) == list(range(5))
    assert ranking.trace.generated_tokens > 3


def test_a_passage_at_a_time_over_a_server_is_as_transformers_has_it(url, tmp_path):
    folder = shutil.copytree(load_model("first-smollm2").path, tmp_path / "mark")
    (folder / "firstrank.yaml").write_text(CARD)
    asked = windows(6, n=8, words=16)
    here, _ = open_scorer(str(folder), dtype="float32", threads=1)
    wanted = asyncio.run(score_all(here, asked, 1))
    here.close()
    there, _ = open_scorer(str(folder), "openai", base_urls=(url,))
    found = asyncio.run(score_all(there, asked, 8))
    differences = [abs(a - b) for one, other in zip(found, wanted, strict=True) for a, b in zip(one.values, other.values, strict=True)]
    print(f"largest difference {max(differences):.2g} of {len(differences)} scores")
    assert max(differences) < NEAR_TIE
