"""Models that answer by marks: what the first layers say where each passage of a window has been read."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import torch
import transformers
from torch.nn.functional import rms_norm

from firstrank.reranker.errors import FirstrankError, InputError, ModelError
from firstrank.reranker.models.layers import check_first_layers
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.prompt.prompter import EncodedRequest
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.transformers.head import Finish
from firstrank.reranker.scorers.transformers.reader import Packed, Padded, packed_if_same
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Passage, Request
from tests.reranker.scorers.families import make
from tests.reranker.scorers.transformers.test_packed import CPU, network_of, prompts_of
from tests.reranker.scorers.windows import docstrings

CARD = "answer: marks\nlayers: 2\ntemplate: {}\ncontext: 4096\npassage_tokens: 16\n"
REQUEST = Request("which sorts a list?", tuple(Passage(str(i), text) for i, (_, text) in enumerate(docstrings(30)[:12])), "q")
EVERY = tuple(range(12))


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    return str(make(tmp_path_factory.mktemp("marks"), tiny_model, "llama", CARD.format("compact")))


def scores(name, *windows, **options):
    scorer, _ = open_scorer(str(name), device="cpu", threads=1, **options)

    async def asked():
        session = scorer.open(REQUEST)
        return [await session.score(window) for window in windows]

    try:
        return asyncio.run(asked())
    finally:
        scorer.close()


def by_hand(name, window):
    """The logit of the prompt's last token, of plain transformers' states after two layers, where passages end or their labels do."""
    model = load_model(str(name))
    network = transformers.AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
    prompt, marks = model.prompter.encode(REQUEST).marked(window)
    with torch.inference_mode():
        states = network(input_ids=torch.tensor([prompt]), output_hidden_states=True).hidden_states[2][0]
        normed = rms_norm(states[marks], (states.shape[-1],))
        return prompt, marks, Finish.of(network)(normed @ network.lm_head.weight[prompt[-1]]).tolist()


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
@pytest.mark.parametrize("template", ["compact", "first"])
def test_a_mark_is_what_two_layers_say_where_its_passage_has_been_read(family, template, tmp_path, tiny_model):
    name = make(tmp_path / "model", tiny_model, family, CARD.format(template))
    prompt, marks, wanted = by_hand(name, (3, 0, 7, 11))
    [found] = scores(name, (3, 0, 7, 11), dtype="float32")
    assert found.values == pytest.approx(wanted, abs=1e-4)
    assert found.prompt_tokens == marks[-1] + 1 < len(prompt), "what comes after the last passage is not read"


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_what_prompts_share_is_read_once_and_marks_are_the_same(dtype, folder):
    first, *others = scores(folder, EVERY, (4, 2, 9), EVERY, dtype=dtype)
    assert others[-1].values == first.values
    for window, found in zip((EVERY, (4, 2, 9)), (first, others[0]), strict=True):
        assert found.values == pytest.approx(by_hand(folder, window)[2], abs=0.15)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "GptOss"])
def test_packed_and_padded_passes_read_the_same_places(family):
    network = network_of(family)
    prompts = [
        replace(one, marks=marks) for one, marks in zip(prompts_of((5, 9), (0, 7), (4, 12)), ((6, 11, 13), (), (4, 15)), strict=True)
    ]
    wanted = Padded(network, CPU, 2048)(prompts)
    assert wanted.shape[0] == 3 + 1 + 2
    alone = [Padded(network, CPU, 2048)([one]) for one in prompts]
    torch.testing.assert_close(wanted, torch.cat(alone), rtol=1e-4, atol=1e-5)
    read = packed_if_same(network, CPU)
    assert isinstance(read, Packed)
    torch.testing.assert_close(read(prompts), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("strategy", ["sliding:window=4,stride=2", "full", "topdown:window=4", "tournament:window=3", "blitz:window=4"])
def test_every_strategy_ranks_by_marks_one_pass_a_window(strategy, folder):
    with Reranker(folder, device="cpu", threads=1, dtype="float32", strategy=strategy) as reranker:
        passes = []
        reranker.scorer.network.base_model.layers[0].register_forward_hook(lambda *_: passes.append(1))
        ranking = next(reranker.rank_many([REQUEST]))
    assert len(passes) == len(ranking.trace.windows)
    assert ranking.trace.generated_tokens == 0
    assert sorted(result.docid for result in ranking) == sorted(str(i) for i in EVERY)
    if strategy == "full":
        values = by_hand(folder, EVERY)[2]
        assert [result.docid for result in ranking] == [str(i) for i in sorted(EVERY, key=lambda i: -values[i])]


@pytest.mark.parametrize("backend", ["vllm", "openai"])
def test_other_backends_are_refused_before_anything_is_loaded(backend, folder, monkeypatch):
    monkeypatch.setattr("firstrank.reranker.models.loaded.weights.fetch", None)
    options = {"base_urls": ["http://127.0.0.1:9"]} if backend == "openai" else {}
    for refused in (lambda: open_scorer(folder, backend, **options), lambda: Setup.of(folder, backend=backend, **options).check(20)):
        with pytest.raises(InputError, match=rf"answer: marks\), and backend '{backend}' tells of a prompt's end alone: use backend 'tran"):
            refused()


def test_a_mark_model_cannot_be_made_to_answer_otherwise_nor_another_by_marks(folder, tiny_model):
    with pytest.raises(ModelError, match="made for answer: marks, so it cannot answer by permutation"):
        load_model(folder, answer="permutation")
    with pytest.raises(ModelError, match="made for answer: logits, so it cannot answer by marks"):
        load_model(str(tiny_model), answer="marks")


def test_marks_bring_a_plain_norm(tmp_path, tiny_model):
    assert ModelSpec(answer="marks").norm == "plain"
    name = make(tmp_path / "model", tiny_model, "llama", CARD.format("compact") + "norm: own\n")
    with pytest.raises(FirstrankError, match=r"norm: own: marks are read without .* leave norm out with answer: marks"):
        open_scorer(str(name))


def test_the_first_real_model_reads_marks_too(tmp_path):
    """What `first-smollm2` was trained with beside its label logits, on its own weights."""
    from firstrank.reranker.models import weights
    from firstrank.reranker.models.catalog import read_settings

    spec = read_settings("first-smollm2")
    folder = tmp_path / "marks"
    folder.mkdir()
    for file in weights.fetch(spec).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "firstrank.yaml").write_text("answer: marks\nlayers: 20\ntemplate: compact\ncontext: 8192\npassage_tokens: 24\n")
    model = load_model(str(folder))
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt, marks = _encoded(model).marked(range(4))
    with torch.inference_mode():
        states = network(input_ids=torch.tensor([prompt]), output_hidden_states=True).hidden_states[20][0]
        wanted = rms_norm(states[marks], (states.shape[-1],)) @ network.lm_head.weight[model.prompter.opening]
    assert model.tokenizer.decode([model.prompter.opening]) == "["
    [found] = scores(folder, (0, 1, 2, 3), dtype="float32")
    assert found.values == pytest.approx(wanted.tolist(), abs=1e-4)


def _encoded(model) -> EncodedRequest:
    return model.prompter.encode(REQUEST)


def test_networks_that_cannot_be_cut_are_named():
    with pytest.raises(ModelError, match="layers: 1 cannot be kept, for GPT2LMHeadModel does not name its layers so"):
        check_first_layers("mine", network_of("GPT2"), 1)
    network = network_of("Llama")
    network.base_model.norm.weight.fill_(0.5)
    check_first_layers("mine", network, 1)
    assert network.base_model.norm.weight.eq(0.5).all(), "a check changes nothing"
    network.base_model.norm = torch.nn.LayerNorm(32)
    with pytest.raises(ModelError, match="norm: plain"):
        check_first_layers("mine", network, 1)
