"""A model that is here: names, folders and hub ids, with tokenizer, labels and context."""

from __future__ import annotations

import shutil

import pytest

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.catalog import describe
from firstrank.reranker.models.loaded import load_model


def test_frozen_labels_are_the_tokenizer_s_own():
    model = load_model("first-smollm2")
    labels = model.tokenizer.convert_ids_to_tokens(list(model.prompter.label_ids(128)))
    assert "".join(labels[:26]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert len(set(labels)) == 128
    assert all(model.tokenizer(f"[{label}]", add_special_tokens=False).input_ids for label in labels)
    assert model.prompter.context == 8192


def test_a_folder_without_a_card_has_defaults(tiny_model):
    model = load_model(str(tiny_model))
    assert (model.spec.window, model.spec.stride, model.spec.answer, model.spec.template_name) == (20, 10, "logits", "first")
    assert model.path == str(tiny_model)
    assert model.prompter.context == 8192


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
    with pytest.raises(ModelError, match="model 'nobody/nothing' at revision 'v9': not in the cache, and cannot be fetched"):
        load_model("nobody/nothing", revision="v9")
    assert describe("nobody/nothing")["path"] is None


def test_a_revision_is_for_the_hub_only():
    with pytest.raises(InputError, match="--revision v1 is for models on the hub"):
        load_model("default", revision="v1")


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


def test_prompts_can_be_held_to_a_smaller_context(tiny_model):
    model = load_model(str(tiny_model))
    assert model.within() is model
    assert model.within(None, 9000) is model
    smaller = model.within(None, 512, 4096)
    assert (smaller.prompter.context, smaller.spec.context, smaller.path) == (512, 512, model.path)
