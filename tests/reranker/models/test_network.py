"""Checkpoints whose tensors do not fit, and folders that hold another thing than a causal language model: each its own sentence."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.network import load_network
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer


def opened(folder):
    scorer = TransformersScorer(load_model(str(folder)), TransformersOptions(device="cpu", threads=1))
    scorer.close()
    return scorer.network


def changed(folder, change):
    """The folder with other tensors."""
    file = folder / "model.safetensors"
    save_file({name: tensor.clone().contiguous() for name, tensor in change(load_file(file)).items()}, file, metadata={"format": "pt"})
    return folder


def configured(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


DOWN = "model.layers.0.mlp.down_proj.weight"
UNFIT = {
    "one tensor is gone": (lambda found: {name: one for name, one in found.items() if name != DOWN}, f"lacks {DOWN}. The weights and"),
    "names have a prefix": (
        lambda found: {f"module.{name}": one for name, one in found.items()},
        r"lacks .* and \d+ more.*begin with 'module'",
    ),
    "an adapter's names": (lambda found: {f"base_model.model.{name}": one for name, one in found.items()}, "begin with 'base_model'"),
    "another shape": (lambda found: found | {DOWN: found[DOWN][:, :64]}, rf"has in another shape {DOWN} \(64, 64\) for \(64, 128\)"),
    "a layer more than the configuration says": (
        lambda found: found | {"model.layers.2.mlp.down_proj.weight": found[DOWN]},
        r"has no place for model\.layers\.2\.mlp\.down_proj\.weight",
    ),
    "biases that the configuration denies": (
        lambda found: found | {"model.layers.1.self_attn.q_proj.bias": torch.zeros(64)},
        r"has no place for model\.layers\.1\.self_attn\.q_proj\.bias",
    ),
    "an adapter that was not merged": (
        lambda found: found | {"model.layers.1.self_attn.q_proj.lora_A.weight": torch.zeros(2, 64)},
        r"has no place for model\.layers\.1\.self_attn\.q_proj\.lora_A",
    ),
    "NaN": (lambda found: found | {DOWN: found[DOWN] * float("nan")}, f"hold NaN or infinity, read as float32: {DOWN}. Get them again"),
    "one infinity": (
        lambda found: found | {"model.norm.weight": torch.cat([torch.tensor([float("inf")]), torch.ones(63)])},
        r"NaN or infinity, .*model\.norm\.weight",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_tensors_that_do_not_fit_are_named(folder, kind):
    change, said = UNFIT[kind]
    with pytest.raises(ModelError, match=said):
        opened(changed(folder, change))


def test_a_model_without_its_output_head_is_not_ranked_with_a_random_one(folder):
    configured(folder, tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"lacks lm_head\.weight\. These weights are not of a model that generates text"):
        opened(folder)


def test_what_training_and_old_versions_leave_over_is_no_fault(folder):
    extra = {"v_head.summary.weight": torch.zeros(1, 64), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8)}
    opened(changed(folder, lambda found: found | extra))


def test_training_refuses_them_too(folder, tmp_path):
    from firstrank.training.config import Config
    from firstrank.training.network import load_network

    changed(folder, lambda found: {f"module.{name}": one for name, one in found.items()})
    recipe = Config.model_validate({"model": str(folder), "output": str(tmp_path / "out"), "train": ["x.jsonl"]})
    with pytest.raises(ModelError, match="begin with 'module'"):
        load_network(load_model(str(folder)), recipe)


NO_CAUSAL_MODEL = {
    "a classifier": ({"architectures": ["LlamaForSequenceClassification"]}, r"LlamaForSequenceClassification is a classifier of sequences"),
    "a cross-encoder": ({"architectures": ["BertForSequenceClassification"], "model_type": "bert"}, "is a classifier of sequences"),
    "an encoder": ({"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta"}, r"is an encoder \(model_type xlm-roberta\)"),
    "an encoder with its head": ({"architectures": ["ModernBertForMaskedLM"], "model_type": "modernbert"}, "is an encoder"),
    "an encoder and a decoder": (
        {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "is_encoder_decoder": True},
        "decoder",
    ),
    "a model of images": ({"architectures": ["ViTModel"], "model_type": "vit"}, r"generates no text \(model_type vit\)"),
    "remote code": (
        {"model_type": "foo", "auto_map": {"AutoConfig": "configuration_foo.FooConfig", "AutoModelForCausalLM": "modeling_foo.Foo"}},
        r"needs code of its own \(configuration_foo\.py, modeling_foo\.py\)\. Firstrank does not run it",
    ),
    "a model of tomorrow": ({"model_type": "llama9"}, "this version of transformers does not know model_type 'llama9'"),
    "no kind": ({"model_type": None}, "has no model_type"),
}


@pytest.mark.parametrize("kind", NO_CAUSAL_MODEL)
def test_what_is_no_causal_language_model_is_called_what_it_is(folder, kind):
    settings, said = NO_CAUSAL_MODEL[kind]
    configured(folder, **settings)
    with pytest.raises(ModelError, match=said):
        load_model(str(folder))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "model-00001-of-00002.safetensors", "config.json"])
def test_a_pointer_of_git_lfs_is_known_by_its_first_line(folder, file):
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 270000000\n")
    with pytest.raises(ModelError, match=f"{file} is a pointer of Git LFS, not the file: .*git lfs pull"):
        load_model(str(folder))


def test_a_folder_without_a_tokenizer_says_which_file_it_wants(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"there is none \(tokenizer\.json, or tokenizer\.model\): copy it there"):
        load_model(str(folder))


@pytest.fixture
def adapter(tiny_model, tmp_path):
    """As peft's save_pretrained writes it: no config.json, no tokenizer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    settings = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(network, settings).save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter/config.json").exists()
    return tmp_path / "adapter"


def renamed(adapter, base):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))


def test_an_adapter_alone_is_loaded_over_its_base_with_the_base_s_tokenizer(adapter, tiny_model, recwarn):
    network, plain = opened(adapter), opened(tiny_model)
    assert not torch.equal(network.state_dict()[DOWN], plain.state_dict()[DOWN])
    assert load_model(str(adapter)).prompter.context == 8192
    for file in tiny_model.glob("tokenizer*"):
        shutil.copy(file, adapter)
    assert load_model(str(adapter)).tokenizer.name_or_path == str(adapter)
    assert not [warning for warning in recwarn if warning.category is FutureWarning]


def test_an_adapter_s_base_may_be_a_hub_id_or_a_name_of_ours(adapter, tiny_model, monkeypatch):
    from firstrank.reranker.models import catalog, weights

    asked = []
    monkeypatch.setattr(weights, "fetch", lambda spec, revision, **_: asked.append((spec.name, revision)) or tiny_model)
    for base in ("someone/tiny", "smollm2-base"):
        renamed(adapter, base)
        assert load_model(str(adapter)).base == str(tiny_model)
    assert asked == [("someone/tiny", None), ("smollm2-base", None)]
    assert catalog.read_settings(str(adapter)).template_name == catalog.read_settings("smollm2-base").template_name


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("/gone/model", "is an adapter for '/gone/model', which cannot be loaded: .*no such name, folder"),
        ("nobody/nothing", "is an adapter for 'nobody/nothing', which cannot be loaded: .*cannot be fetched from the Hugging Face hub"),
        ("", "has no base_model_name_or_path"),
        (None, "has no base_model_name_or_path"),
    ],
)
def test_an_adapter_whose_base_is_gone_says_which_it_was(adapter, base, said):
    renamed(adapter, base)
    with pytest.raises(ModelError, match=said):
        load_model(str(adapter))


def test_an_adapter_for_another_model_is_refused_not_left_without_effect(adapter):
    file = adapter / "adapter_model.safetensors"
    found = load_file(file)
    save_file({name.replace("layers.1", "layers.7"): tensor for name, tensor in found.items()}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fit the model that the adapter is for: lacks .*layers\.1.*has no place for .*layers\.7"):
        opened(adapter)


def test_threads_may_load_at_the_same_time(tiny_model):
    """transformers by itself leaves out the head of one of two."""
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: load_network("tiny", tiny_model, None), range(9)))
    assert len({float(network.get_output_embeddings().weight.sum()) for network in found}) == 1
