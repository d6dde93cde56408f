"""What a step's windows are before they are trained on: ties, weights by the whole step's losses, the label logits of the start."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from firstrank.training.insight import Insight
from firstrank.training.log import LOG, read_log
from firstrank.training.network import load_network
from firstrank.training.run import open_model, train
from firstrank.training.samples.batch import collate
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples, respelled, spelled
from firstrank.training.total_loss import TotalLoss
from tests.training.interrupted import curve

PLAIN = {"lora": {"rank": 4, "alpha": 8}}


def named(model, ids: list[int], importance: list[float]) -> list[tuple[str, float]]:
    """The identifiers of an ordering, and what each counts."""
    labels = {token: name for place, name in enumerate(model.prompter.identifiers) for token in model.prompter.label_tokens(place)}
    return [(labels[token], weight) for token, weight in zip(ids, importance, strict=True) if token in labels]


def test_identifiers_within_a_tie_count_nothing(recipe):
    config = recipe()
    model, lm = open_model(config), config.loss.lm
    ids, importance = spelled([0.0, 2.0, 0.0, 1.0], [0, 1, 2, 3], model, lm)
    assert named(model, ids, importance) == [("B", 1.0), ("D", 1.0), ("A", 0.0), ("C", 0.0)]
    assert importance[-1] == 1.0
    assert set(spelled([1.0, 1.0], [0, 1], model, lm)[1]) == {0.0}
    first_stage = lm.model_copy(update={"ties": "first-stage"})
    assert [weight for _, weight in named(model, *spelled([0.0, 2.0, 0.0, 1.0], [0, 1, 2, 3], model, first_stage))] == [1.0] * 4


def test_the_likeliest_order_of_ties_is_the_model_s(recipe):
    config = recipe(loss={"lm": {"ties": "likeliest"}})
    model = open_model(config)
    sample = Samples(config, model, Examples(config.train), 1)[0]
    sample = replace(sample, grades=(0.0, 2.0, 0.0), places=(0, 1, 2))
    found = respelled(sample, [-1.0, 0.0, 3.0], model, config.loss.lm)
    assert [name for name, _ in named(model, found.answer, found.importance)] == ["B", "C", "A"]
    assert {weight for _, weight in named(model, found.answer, found.importance)} == {1.0}


def test_a_window_of_one_grade_costs_nothing_with_the_lm_loss_on(recipe, tmp_path):
    passages = [{"docid": str(i), "text": f"stone {i}"} for i in range(4)]
    file = tmp_path / "flat.jsonl"
    file.write_text(json.dumps({"qid": "q", "query": "metal", "passages": passages, "grades": {str(i): 2 for i in range(4)}}) + "\n")
    config = recipe(train=str(file), draw={}, tuning=PLAIN)
    model = open_model(config)
    network = load_network(model, config)
    batch = collate([Samples(config, model, Examples(config.train), 1)[0]], packing=True)
    terms = TotalLoss(config)(network(batch=batch), batch, 0.0)
    terms.total.backward()
    assert float(terms.total.detach()) == 0.0
    assert all(one.grad is None or not one.grad.any() for one in network.parameters())


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": {"lm": {"ties": "likeliest"}}},
        {"loss": {"start": {"weight": 1.0}, "z": {"weight": 1e-3}}},
        {"loss": {"rank": {"head": "own", "doubt": {"begin": 0.0}}}},
        {"reweighting": {}, "batch": {"windows": 2, "accumulation": 2}},
        {"loss": {"rank": {"name": "plackett_luce", "weight": {0: 0.0, 0.5: 10.0}}}, "batch": {"windows": 4, "tokens": 200}},
    ],
    ids=["likeliest", "start and z", "own head", "reweighting", "a ramp and a budget"],
)
def test_each_trains_and_resumes_to_the_same_losses(fields, recipe, tmp_path):
    plain = {"steps": 2, "tuning": PLAIN, "checkpoints": {"every": 1}, "log": {"insight": 1}, "output": str(tmp_path / "whole")}
    whole = recipe(**plain | fields)
    parted = whole.model_copy(update={"output": tmp_path / "parted"})
    folder = train(whole)
    assert train(parted, minutes=0) is None
    train(parted)
    assert curve(parted) == curve(whole)
    entries = read_log(whole.output / LOG)
    assert all(0 < entry["label_mass"] < 1 for entry in entries)
    assert all(-1 <= entry["entanglement"] <= 1 for entry in entries if "entanglement" in entry)
    assert not any("ranking_head" in name for name in _names(folder))


def _names(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_entanglement_is_the_cosine_at_the_head_s_input(recipe):
    config = recipe(tuning=PLAIN, log={"insight": 1})
    model = open_model(config)
    network = load_network(model, config)
    windows = Samples(config, model, Examples(config.train), 4)
    batch = collate([windows[0], windows[1]], packing=True)
    seen = network(batch=batch)
    terms = TotalLoss(config)(seen, batch, 0.0)
    insight = Insight(config)
    insight.look(network.get_base_model(), seen, terms, batch)
    found = insight.told()
    one, other = (torch.autograd.grad(term.sum(), seen.hidden, retain_graph=True)[0][batch.label_rows] for term in (terms.lm, terms.rank))
    assert found["entanglement"] == pytest.approx(float(torch.cosine_similarity(one, other, dim=-1).mean()), abs=1e-5)
    logits = network.get_base_model().lm_head(seen.hidden[batch.label_rows])
    labels = list(model.prompter.label_ids(batch.mask.shape[1]))
    mass = (torch.softmax(logits, -1)[:, labels] * batch.mask).sum(-1).mean()
    assert found["label_mass"] == pytest.approx(float(mass.detach()), rel=1e-4)
    assert insight.told() == {}
