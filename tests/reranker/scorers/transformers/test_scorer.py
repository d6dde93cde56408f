"""The transformers backend: plain transformers' own logits, one forward pass a window, whatever else is running."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading

import pytest

from firstrank.reranker.errors import InputError, MachineError, ModelError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.transformers.reader import Prompt
from firstrank.reranker.scorers.transformers.scorer import TransformersOptions, TransformersScorer
from firstrank.reranker.scorers.transformers.segments import Prefix
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Ranking, Request

WORDS = ["bees make honey", "Jane Austen wrote Emma", "the sun is a star", "", "a whale is a mammal", "Paris is in France"]


def requests_of(count, passages):
    for i in range(count):
        texts = [" ".join(WORDS[(i + n + k) % len(WORDS)] for k in range(1 + (n + i) % 4)) for n in range(passages)]
        yield Request(f"question {i}", tuple(Passage(str(n), text) for n, text in enumerate(texts)), f"q{i}")


def plain_logits(model, prompts, n):
    """What transformers by itself gives: the whole model over the same token ids, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = [network(input_ids=torch.tensor([prompt])).logits[0, -1] for prompt in prompts]
    return [last[list(model.prompter.label_ids(n))].tolist() for last in logits]


@pytest.fixture
def threads():
    """Sets torch's number of threads, for the length of a test."""
    import torch

    usual = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(usual)


async def ranked(scorer, requests, strategy):
    return [result async for result in Executor(scorer).stream(requests, strategy)]


@pytest.mark.parametrize(
    ("name", "passages", "count", "lanes"), [("tiny", 20, 6, 1), ("first-smollm2", 4, 2, 1), ("first-smollm2", 4, 3, 2)]
)
def test_logits_are_those_of_plain_transformers_to_the_bit_whatever_else_is_running(name, passages, count, lanes, tiny_model, threads):
    import torch

    model = load_model(str(tiny_model) if name == "tiny" else name)
    requests = list(requests_of(count, passages))
    scorer = TransformersScorer(model, TransformersOptions(device="cpu", dtype="float32", threads=2, lanes=lanes))
    threads(2 // lanes)  # of plain transformers, below
    done = threading.Event()

    def disturb():
        while not done.is_set():
            torch.mm(torch.ones(200, 200), torch.ones(200, 200))

    async def everything_at_once():
        sessions = [scorer.open(request) for request in requests]
        scored = await asyncio.gather(*(session.score(tuple(range(passages))) for session in sessions))
        return [list(scores.values) for scores in scored]

    other = threading.Thread(target=disturb)
    other.start()
    try:
        busy = asyncio.run(everything_at_once())
    finally:
        done.set()
        other.join()
        scorer.close()
    prompts = [model.prompter.encode(request).prompt(range(passages)) for request in requests]
    assert busy == plain_logits(model, prompts, passages)


def test_a_scorers_number_of_threads_is_its_own_and_lanes_share_it(tiny_model, threads):
    import torch

    def threads_of(**options):
        scorer = TransformersScorer(load_model(str(tiny_model)), TransformersOptions(device="cpu", **options))
        seen = []
        scorer.network.base_model.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
        asyncio.run(scorer.open(next(requests_of(1, 3))).score((0, 1, 2)))
        scorer.close()
        return seen

    threads(3)
    assert threads_of(threads=1) == [1]
    assert threads_of() == [3]
    assert threads_of(lanes=2) == [1]
    assert threads_of(threads=4, lanes=2) == [2]


def test_lanes_that_cannot_be_are_a_sentence(tiny_model, tmp_path):
    for lanes in (0, 3):
        with pytest.raises(InputError, match=f"--lanes {lanes}: give 1 to 2, the number of threads"):
            open_scorer(str(tiny_model), device="cpu", threads=2, lanes=lanes)
    moving = shutil.copytree(tiny_model, tmp_path / "moving")
    config = json.loads((moving / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (moving / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="--lanes: a model with dynamic rotary embeddings takes one window at a time"):
        open_scorer(str(moving), device="cpu", threads=2, lanes=2)


def test_a_padded_batch_gives_the_same_logits_within_a_hair(tiny_model):
    scorer, _ = open_scorer(str(tiny_model), device="cpu")
    prompts = [scorer.open(request)._encoded.prompt(range(n)) for request, n in zip(requests_of(4, 12), (2, 12, 5, 9), strict=True)]
    windows = [Prompt(Prefix(()), (prompt,), n) for prompt, n in zip(prompts, (2, 12, 5, 9), strict=True)]
    assert len({len(prompt) for prompt in prompts}) == 4
    together = scorer._score_batch(windows)
    for window, scores in zip(windows, together, strict=True):
        [alone] = scorer._score_batch([window])
        assert scores.values == pytest.approx(alone.values, abs=1e-4)
        assert (scores.prompt_tokens, scores.batch) == (window.tokens, 4)
    scorer.close()


def test_a_window_is_one_forward_pass_and_its_head_is_never_the_whole_vocabulary(tiny_model):
    scorer, _ = open_scorer(str(tiny_model), device="cpu")
    passes, heads = [], []
    layer = scorer.network.base_model.layers[0]
    layer.register_forward_hook(lambda module, arguments, kwargs, output: passes.append(kwargs), with_kwargs=True)
    scorer.network.get_output_embeddings().register_forward_hook(lambda *_: heads.append(1))
    rankings = asyncio.run(ranked(scorer, requests_of(5, 25), parse_strategy("sliding", window=10, stride=5, passes=1)))
    scorer.close()
    assert all(isinstance(ranking, Ranking) for ranking in rankings)
    assert len(passes) == sum(len(ranking.trace.windows) for ranking in rankings) == 5 * 4
    assert heads == []
    assert all(kwargs.get("past_key_values") is None for kwargs in passes), "a KV cache is kept"
    assert all(kwargs.get("attention_mask") is None for kwargs in passes), "a dense mask is built"
    assert all(ranking.trace.generated_tokens == 0 for ranking in rankings)


def test_scores_belong_to_the_indices_asked_for(tiny_model):
    scorer, _ = open_scorer(str(tiny_model), device="cpu")
    [request] = requests_of(1, 6)
    subset = Request(request.query, tuple(request.passages[i] for i in (4, 1, 5)), request.qid)

    async def both():
        return await scorer.open(request).score((4, 1, 5)), await scorer.open(subset).score((0, 1, 2))

    of_all, of_subset = asyncio.run(both())
    scorer.close()
    assert of_all.values == of_subset.values
    assert of_all.prompt_tokens == of_subset.prompt_tokens


def test_bf16_weights_still_give_fp32_logits(tiny_model):
    scorer, _ = open_scorer(str(tiny_model), device="cpu", dtype="bfloat16")
    [request] = requests_of(1, 20)
    session = scorer.open(request)
    values = asyncio.run(session.score(tuple(range(20)))).values
    scorer.close()
    assert scorer.dtype == "bfloat16"
    assert len(set(values)) == 20, "a head in bf16 ties labels"


def test_an_unknown_device_or_dtype_says_what_there_is(tiny_model):
    with pytest.raises(MachineError, match=r"--device mps: .* it has .*cpu"):
        open_scorer(str(tiny_model), device="mps")
    with pytest.raises(ModelError, match="--dtype float8: unknown; use auto, float32"):
        open_scorer(str(tiny_model), dtype="float8")
    with pytest.raises(InputError, match="no option colour; it has device"):
        open_scorer(str(tiny_model), colour="blue")
    with pytest.raises(InputError, match="unknown; there are transformers"):
        open_scorer(str(tiny_model), "tensorflow")


def test_weights_that_cannot_be_read_are_a_sentence(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"cannot load the weights in .*broken"):
        open_scorer(str(tmp_path / "broken"), device="cpu")
