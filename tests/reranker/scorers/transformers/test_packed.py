"""Packed passes give what the plain pass of transformers gives, for every family; what is shared is read once."""

from __future__ import annotations

import asyncio

import pytest
import torch
import transformers

from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.packed import NAME, Prefix
from firstrank.reranker.scorers.transformers.reader import CPU_TOKENS, Packed, Padded, Prompt, packed_if_same
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from firstrank.reranker.types import Passage, Request

SIZE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
MOE = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
FAMILIES = {
    "Llama": {},
    "Mistral": {"sliding_window": 7},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Qwen3Moe": {"head_dim": 8, **MOE},
    "Gemma2": {"head_dim": 8, "sliding_window": 7, "attn_logit_softcapping": 5.0},
    "Gemma3Text": {"head_dim": 8, "sliding_window": 7},
    "Phi3": {"pad_token_id": 0},
    "GptOss": {"head_dim": 8, "sliding_window": 7, "num_local_experts": 4, "num_experts_per_tok": 2},
    "GPT2": {},
}
CPU = torch.device("cpu")


def network_of(family):
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**SIZE, **FAMILIES[family], initializer_range=0.3)
    attention = "eager" if family in ("Gemma2", "GptOss") else "sdpa"
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval().requires_grad_(False)


def prompts_of(*shapes):
    """(header, segments …) in tokens -> prompts."""
    draw = torch.Generator().manual_seed(1)

    def ids(n):
        return torch.randint(1, 300, (n,), generator=draw).tolist()

    return [Prompt(Prefix(ids(header)), tuple(map(ids, segments)), len(segments)) for header, *segments in shapes]


@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_batches_equal_the_plain_pass_in_every_family(family):
    shapes = (5, 12, 3, 31), (0, 9, 1), (17, 300), (2, 1, 1, 1)
    network = network_of(family)
    with torch.inference_mode():
        expected = torch.cat([Padded(network, CPU, CPU_TOKENS)([one]) for one in prompts_of(*shapes)])
        read = packed_if_same(network, CPU)
        assert isinstance(read, Packed), "the packed pass was given up"
        found = read(prompts_of(*shapes))
        alone = torch.cat([read([one]) for one in prompts_of(*shapes)])
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert (alone - found).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_a_network_that_packs_wrongly_is_left_as_it_was(monkeypatch):
    from firstrank.reranker.scorers.transformers import packed

    network = network_of("Llama")
    monkeypatch.setattr(packed, "_attend", lambda q, k, v, masks, style: torch.zeros_like(q))
    read = packed_if_same(network, CPU)
    assert not isinstance(read, Packed)
    assert network.config._attn_implementation == "sdpa" != NAME
    with torch.inference_mode():
        assert torch.isfinite(read(prompts_of((3, 4, 5)))).all()


@pytest.fixture
def counted(tiny_model):
    """A scorer that packs, and the tokens that its network computed."""
    scorer = TransformersScorer(load_model(str(tiny_model)), TransformersOptions(device="cpu", dtype="bfloat16", threads=1))
    seen: list[int] = []
    scorer.network.base_model.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"].numel()), with_kwargs=True
    )
    yield scorer, seen
    scorer.close()


def test_what_windows_begin_with_is_computed_once_a_request(counted, tiny_model):
    scorer, seen = counted
    request = Request("which animals make honey", tuple(Passage(str(n), f"text number {n} about bees") for n in range(12)), "q")
    windows = [tuple(range(start, start + 6)) for start in (6, 3, 0)]

    async def rank():
        session = scorer.open(request)
        return [(await session.score(window)).prompt_tokens for window in windows]

    shown = asyncio.run(rank())
    header = len(scorer._model.prompter.encode(request).header(6))
    assert header > 5
    assert sum(seen) == sum(shown) - header * (len(windows) - 1)


def test_a_window_s_scores_do_not_depend_on_which_window_came_first(counted):
    scorer, _ = counted
    request = Request("bees", tuple(Passage(str(n), f"text {n} " * (n + 1)) for n in range(9)), "q")

    async def score(*windows):
        session = scorer.open(request)
        return [(await session.score(window)).values for window in windows]

    first, second = (0, 1, 2, 3), (4, 5, 6, 7, 8)
    assert asyncio.run(score(first, second)) == asyncio.run(score(second, first))[::-1]
