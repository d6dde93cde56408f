"""Models that read a passage at a time in an engine: the order of transformers, a prefill a passage, and a part of a network."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.engine_folder import engine_folder
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.strategies.register import parse_strategy
from tests.reranker.scorers.windows import NEAR_TIE, score_all, windows

pytestmark = pytest.mark.vllm
CARD = """
template: compact-mark
answer: pointwise
pointwise: {yes: "[", no: "]"}
layers: 12
norm: plain
context: 2048
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The first layers of the default model's network."""
    folder = tmp_path_factory.mktemp("mark") / "model"
    shutil.copytree(load_model("default").path, folder)
    (folder / "firstrank.yaml").write_text(CARD)
    return folder


@pytest.fixture(scope="module")
def asked():
    return windows(12, n=10, words=16)


@pytest.fixture(scope="module")
def wanted(folder, asked):
    scorer, _ = open_scorer(str(folder), dtype="float32", threads=1)
    scores = asyncio.run(score_all(scorer, asked, 2))
    scorer.close()
    return scores


@pytest.mark.parametrize("mode", ["generate", "pooling"])
def test_scores_are_those_of_transformers_and_a_passage_is_read_once(mode, folder, asked, wanted):
    scorer, _ = open_scorer(str(folder), "vllm", engine={"mode": mode, "max_model_len": 1024})
    with asyncio.Runner() as runner:
        found = runner.run(score_all(scorer, asked, 8))
        ranking = runner.run(Executor(scorer).rank(asked[0], parse_strategy("sliding:window=4,stride=2")))
        scorer.close()
    differences = [abs(a - b) for one, other in zip(found, wanted, strict=True) for a, b in zip(one.values, other.values, strict=True)]
    print(f"{mode}: largest difference {max(differences):.2g} of {len(differences)} scores")
    assert max(differences) < NEAR_TIE
    assert [one.prompt_tokens for one in found] == [one.prompt_tokens for one in wanted]
    assert ranking.trace.prompt_tokens == found[0].prompt_tokens


def test_the_part_is_a_folder_of_its_own_and_is_made_once(folder):
    model = load_model(str(folder))
    made = engine_folder(model.spec, folder)
    assert made != folder
    assert made == engine_folder(model.spec, folder)
    assert (made / "tokenizer.json").is_file()
