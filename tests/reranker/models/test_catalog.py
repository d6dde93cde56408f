"""A model's name -> settings, folder, tokenizer, labels: names, folders and hub ids, and every way in which they can be wrong."""

from __future__ import annotations

import shutil

import pytest

from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.catalog import ModelSpec, describe, list_specs, load_model, pull, read_folder


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny model, to spoil."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def write_card(folder, text):
    (folder / "firstrank.yaml").write_text(text)
    return str(folder)


def test_the_shipped_models_are_well_formed_and_the_default_comes_first():
    specs = list_specs()
    assert specs[0].name == "default"
    assert specs[0].weights.sha256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    for spec in specs:
        assert spec.read_template().passage
        assert spec.licence
        assert spec.weights.hub or spec.weights.wheel


def test_the_default_model_s_frozen_labels_are_its_tokenizer_s_own():
    model = load_model("default")
    labels = model.tokenizer.convert_ids_to_tokens(list(model.prompter.label_ids(128)))
    assert "".join(labels[:26]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert len(set(labels)) == 128
    assert all(model.tokenizer(f"[{label}]", add_special_tokens=False).input_ids for label in labels)
    assert model.prompter.context == 8192


def test_the_default_model_s_adapter_is_small_and_has_its_card():
    spec = load_model("default").spec
    folder = config_dir() / "models" / spec.weights.adapter
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6
    assert "## Limits" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_folder_without_a_card_has_defaults(tiny_model):
    model = load_model(str(tiny_model))
    assert (model.spec.window, model.spec.stride, model.spec.answer, model.spec.template_name) == (20, 10, "logits", "first")
    assert model.path == str(tiny_model)
    assert model.prompter.context == 8192


def test_a_folder_s_card_says_the_rest(folder):
    card = """
template: {before: "{query}\\n", passage: "{text} ({label})\\n", after: "", answer: "("}
passage_tokens: 7
excerpt: query
window: 6
stride: 3
context: 512
"""
    model = load_model(write_card(folder, card))
    assert (model.spec.window, model.spec.stride, model.prompter.context) == (6, 3, 512)
    template = model.prompter.template
    assert (template.answer, template.tokens, template.excerpt) == ("(", 7, "query")
    assert read_folder(folder).template_name == folder.name


def test_answer_in_place_of_the_model_s_own(tiny_model):
    assert load_model(str(tiny_model), answer="permutation").prompter.answer == "permutation"


def test_a_hub_id_is_read_from_the_cache_without_a_network(tiny_model, tmp_path, monkeypatch):
    """The hub's own layout: refs/main names a snapshot."""
    cache = tmp_path / "hub"
    home = cache / "models--someone--tiny"
    shutil.copytree(tiny_model, home / "snapshots" / "0123abc")
    (home / "refs").mkdir()
    (home / "refs/main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(cache))
    model = load_model("someone/tiny")
    assert model.path.endswith("0123abc")
    assert len(model.prompter.label_ids(26)) == 26
    assert describe("someone/tiny")["path"] == model.path


def test_a_hub_id_that_is_not_here_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="model 'nobody/nothing' at revision 'v9': not in the cache, and the Hugging Face hub"):
        load_model("nobody/nothing", revision="v9")
    assert describe("nobody/nothing")["path"] is None


def test_a_revision_is_for_the_hub_only():
    with pytest.raises(InputError, match="--revision v1 is for models on the hub"):
        load_model("default", revision="v1")


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        ("window: [", r"firstrank\.yaml: not YAML: .*line 1"),
        ("just words", "a mapping is expected"),
        ("windows: 5", "windows: Extra inputs"),
        ("window: 1", "window: Input should be greater than or equal to 2"),
        ("window: 5\nstride: 6", "stride: 6 is more than window 5"),
        ("strategy: bubble", "unknown strategy 'bubble'"),
        ("label_ids: [5, 5]", "label_ids: one of them is given twice"),
        ("answer: words", "answer: Input should be 'logits' or 'permutation'"),
        ("template: nonesuch", "template 'nonesuch': unknown; there are compact"),
        ("template: {before: '', passage: '[{label}]', after: ''}", r"firstrank\.yaml: template: .*\{text\} must occur once"),
        ("template: permutation", "numbers are not single tokens"),
        ("weights: {wheel: a==1}", "sha256 and gguf must be given too"),
        ("weights: {wheel: a==1, hub: b/c}", "give one of them"),
        ("weights: {adapter: lora}", "on the hub, publish merged weights"),
        ("label_ids: [1, 2]", "belong to another tokenizer"),
    ],
)
def test_a_card_that_is_wrong_is_named_with_field_and_cure(folder, card, problem):
    with pytest.raises(InputError, match=problem):
        load_model(write_card(folder, card))


def test_folders_that_hold_no_model(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json: it holds no model"):
        load_model(str(tmp_path / "empty"))
    (folder / "config.json").write_text("{not json")
    with pytest.raises(ModelError, match=str(folder)):
        load_model(str(folder))


def test_a_folder_without_a_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="cannot load the tokenizer in"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["nonesuch", "./nowhere", "a/b/c", "../default"])
def test_a_name_that_is_nothing(name):
    with pytest.raises(ModelError, match=r"no such name, folder or Hugging Face id \(org/name\); names are default"):
        load_model(name)


def test_pull_of_a_folder_is_the_folder(tiny_model):
    assert pull(str(tiny_model)) == tiny_model


def test_a_spec_without_weights_is_no_model_to_fetch():
    from firstrank.reranker.models.weights import fetch

    with pytest.raises(ModelError, match=r"names no weights: say `weights: \{hub: org/name\}`"):
        fetch(ModelSpec(name="mine"))


def test_prompts_can_be_held_to_a_smaller_context(tiny_model):
    model = load_model(str(tiny_model))
    assert model.within() is model
    assert model.within(None, 9000) is model
    smaller = model.within(None, 512, 4096)
    assert (smaller.prompter.context, smaller.spec.context, smaller.path) == (512, 512, model.path)
