"""`first-mistral` with the real tokenizer of Mistral: what training reads is what `firstrank rerank` sends, token for token."""

from __future__ import annotations

import json

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.types import Passage, Request
from firstrank.training.config import read_config
from firstrank.training.dry_run import described
from firstrank.training.run import open_model
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples
from tests.reranker.prompt.tokenizers import sentencepiece


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistral")
    (folder / "source").mkdir()
    sentencepiece("v3", folder / "source").save_pretrained(folder / "model")
    (folder / "model" / "config.json").write_text('{"model_type": "mistral", "max_position_embeddings": 32768}')
    line = {
        "qid": "7",
        "query": "how far is [B] from <s>the moon?",
        "passages": [{"docid": str(i), "title": "Moon" if i % 2 else "", "text": f"[A] passage {i} " + "word " * 350} for i in range(20)],
        "ranking": [str(i) for i in (3, 1, 2, 0, *range(4, 20))],
    }
    (folder / "train.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def recipe(mistral, name, *overrides):
    return read_config(name, [f"model={mistral / 'model'}", f"train={mistral / 'train.jsonl'}", f"output={mistral / 'out'}", *overrides])


def test_first_mistral_reads_what_rerank_sends(mistral):
    config = recipe(mistral, "first-mistral")
    model, examples = open_model(config), Examples(config.train)
    window = Samples(config, model, examples, 3)[0]
    serving = load_model(str(mistral / "model"))  # no firstrank.yaml: template `first`, as `firstrank rerank --model` would
    passages = tuple(Passage(passage.docid, passage.text, passage.title) for passage in examples[0].passages)
    assert window.prompt == serving.prompter.encode(Request(examples[0].query, passages, "7")).prompt(range(20))
    assert model.tokenizer.decode(window.answer).startswith("D] > [B] > [C] > [A] > [E]")
    assert window.answer[-1] == model.tokenizer.eos_token_id
    lines = "\n".join(described(config, model, len(examples), 1, [window]))
    assert "You are RankLLM" in lines
    assert "[green]D[/] 3 (first stage 4)" in lines
    assert "label logits are read at position" in lines
    assert "LM loss at positions" in lines


def test_fullrank_mistral_answers_in_numbers(mistral):
    config = recipe(mistral, "fullrank-mistral", "draw.window=[20, 20]")
    model = open_model(config)
    window = Samples(config, model, Examples(config.train), 3)[0]
    assert model.tokenizer.decode(window.answer).startswith("[4] > [2] > [3] > [1] > [5]")
    with pytest.raises(InputError, match=r"loss.rank: its labels must be single tokens"):
        open_model(recipe(mistral, "fullrank-mistral", "loss.rank.weight=1"))


def test_a_list_longer_than_the_labels_is_named(mistral):
    line = json.loads((mistral / "train.jsonl").read_text())
    line["passages"] = [{"docid": str(i), "text": "short"} for i in range(200)]
    del line["ranking"]
    (mistral / "long.jsonl").write_text(json.dumps(line | {"grades": {"3": 1}}) + "\n")
    config = recipe(mistral, "first-mistral", f"train={mistral / 'long.jsonl'}", "draw={}")
    with pytest.raises(InputError, match=r"long.jsonl:1: query '7': 200 passages in one window, but the tokenizer has \d+ labels"):
        Samples(config, open_model(config), Examples(config.train), 3)[0]


def test_samples_that_are_alike_share_a_size_and_a_cut(recipe, monkeypatch):
    monkeypatch.setattr("firstrank.training.samples.sample.encoded", lambda drawn, *_: drawn)
    config = recipe(draw={"window": [2, 5], "passage_tokens": [16, 64], "alike": 4})
    windows = Samples(config, open_model(config), Examples(config.train), 40)
    shapes = [(len(windows[sample].grades), windows[sample].request.passage_tokens) for sample in range(40)]
    assert all(len(set(shapes[start : start + 4])) == 1 for start in range(0, 40, 4))
    assert len(set(shapes)) > 4
