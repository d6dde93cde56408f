"""Packed passes give what the plain pass of transformers gives, for every family; what is shared is read once."""

from __future__ import annotations

import asyncio

import pytest
import torch
import transformers

from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.packed import NAME
from firstrank.reranker.scorers.transformers.reader import CPU_TOKENS, Packed, Padded, Prompt, packed_if_same
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from firstrank.reranker.scorers.transformers.segments import Prefix, Style
from firstrank.reranker.scorers.transformers.varlen import Spans, masked, torch_flash
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


@pytest.mark.parametrize("kernel", [None, masked], ids=["cpu", "cuda"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_batches_equal_the_plain_pass_in_every_family(family, kernel):
    """`masked` stands in for a GPU's kernel; all around it is what a GPU runs."""
    shapes = (5, 12, 3, 31), (0, 9, 1), (17, 300), (2, 1, 1, 1)
    network = network_of(family)
    with torch.inference_mode():
        expected = torch.cat([Padded(network, CPU, CPU_TOKENS)([one]) for one in prompts_of(*shapes)])
        read = packed_if_same(network, CPU, kernel=kernel)
        assert isinstance(read, Packed), "the packed pass was given up"
        found = read(prompts_of(*shapes))
        alone = torch.cat([read([one]) for one in prompts_of(*shapes)])
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert (alone - found).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_a_network_that_packs_wrongly_is_left_as_it_was(monkeypatch):
    from firstrank.reranker.scorers.transformers import grouped

    network = network_of("Llama")
    monkeypatch.setattr(grouped, "_attend", lambda q, k, v, masks, style: torch.zeros_like(q))
    read = packed_if_same(network, CPU)
    assert not isinstance(read, Packed)
    assert network.config._attn_implementation == "sdpa" != NAME
    with torch.inference_mode():
        assert torch.isfinite(read(prompts_of((3, 4, 5)))).all()


@pytest.mark.parametrize("kernel", [None, masked], ids=["cpu", "cuda"])
def test_too_much_for_the_memory_is_read_in_halves_and_the_budget_stays_small(kernel, monkeypatch):
    network = network_of("Llama")
    [prompt] = prompts_of((5, *[9] * 8))
    with torch.inference_mode():
        read = packed_if_same(network, CPU, 100, kernel)
        expected = read([prompt])
        forward, held, sizes = network.base_model.forward, 30, []

        def limited(**given):
            sizes.append(given["input_ids"].numel())
            if sizes[-1] > held:
                raise torch.OutOfMemoryError
            return forward(**given)

        monkeypatch.setattr(network.base_model, "forward", limited)
        found = read([prompt])
        assert (found - expected).abs().max() <= 1e-5
        assert sizes == [72, 36, 18, 18, 18, 18]
        read(prompts_of((5, 9, 9, 9)))
        assert sizes[-3:] == [5, 18, 9]
        held = 4
        with pytest.raises(torch.OutOfMemoryError):
            read([prompt])


def out_of_memory(*_):
    raise torch.OutOfMemoryError


def test_a_prefix_whose_pass_failed_is_read_again(monkeypatch):
    network = network_of("Llama")
    [prompt] = prompts_of((5, 9, 9))
    with torch.inference_mode():
        read = packed_if_same(network, CPU)
        norm = network.base_model.norm.forward
        monkeypatch.setattr(network.base_model.norm, "forward", out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            read([prompt])
        assert not prompt.prefix.is_read
        monkeypatch.setattr(network.base_model.norm, "forward", norm)
        assert torch.isfinite(read([prompt])).all()


def test_a_gpu_reads_all_prefixes_in_one_pass_and_a_lone_window_whole():
    network = network_of("Llama")
    read = packed_if_same(network, CPU, CPU_TOKENS, masked)
    rows = []
    network.base_model.register_forward_pre_hook(lambda module, args, given: rows.append(given["input_ids"].numel()), with_kwargs=True)
    prompts = prompts_of((5, 12, 3), (7, 4, 4), (6, 20))
    with torch.inference_mode():
        read(prompts)
        read(prompts)
    assert rows == [5 + 7, 12 + 3 + 4 + 4 + 26, 12 + 3 + 4 + 4 + 26]


def test_the_kernel_of_torch_takes_what_it_is_given():
    """By its signature alone, on tensors without numbers; and the stand-in gives the same shapes."""
    q, k, v = (torch.empty(12, heads, 64, dtype=torch.bfloat16, device="meta") for heads in (8, 8, 8))
    ends = torch.tensor([0, 5, 12], dtype=torch.int32, device="meta")
    found, sums = torch_flash(q, k, v, Spans(ends, ends, 7, 7), Style(0.125, sliding_window=4))
    assert (found.shape, sums.shape) == ((12, 8, 64), (8, 12))
    q, k, v, ends = torch.randn(12, 8, 64), torch.randn(12, 4, 64), torch.randn(12, 4, 64), torch.tensor([0, 5, 12], dtype=torch.int32)
    found, sums = masked(q, k, v, Spans(ends, ends, 7, 7), Style(0.125, sliding_window=4))
    assert (found.shape, sums.shape) == ((12, 8, 64), (8, 12))


def test_a_gpu_s_batch_scores_each_window_as_alone(tiny_model, monkeypatch):
    """The scorer as it runs on a GPU, with `masked` in place of its kernel: one row for the batch, and one product for all labels."""
    monkeypatch.setattr("firstrank.reranker.scorers.transformers.scorer.kernel_for", lambda network, device: masked)
    scorer = TransformersScorer(load_model(str(tiny_model)), TransformersOptions(device="cpu", dtype="bfloat16", threads=1))
    passages = tuple(Passage(str(n), f"text {n} " * (n + 1)) for n in range(9))
    encoded = scorer._model.prompter.encode(Request("bees", passages, "q"))
    windows = [Prompt(Prefix(()), (encoded.prompt(range(n)),), n) for n in (9, 2, 5)]
    rows = []
    scorer.network.base_model.register_forward_pre_hook(
        lambda module, args, given: rows.append(given["input_ids"].numel()), with_kwargs=True
    )
    together = scorer._score_batch(windows)
    assert rows == [sum(window.tokens for window in windows)]
    for window, scores in zip(windows, together, strict=True):
        [alone] = scorer._score_batch([window])
        assert len(scores.values) == window.n
        assert scores.values == pytest.approx(alone.values, abs=0.1)
    scorer.close()


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
