"""`answer: marks`: the probe is kept, and what serves reads what it read."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.catalog import pull
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.types import Passage, Request
from firstrank.training.dev import DevSet
from firstrank.training.export import settings
from firstrank.training.log import read_log
from firstrank.training.network import causal_model, load_network
from firstrank.training.run import open_model, train
from firstrank.training.samples.batch import collate
from firstrank.training.samples.draw import Drawn
from firstrank.training.samples.sample import encoded
from firstrank.training.sections import Dev
from firstrank.training.total_loss import TotalLoss, distilled
from tests.training.conftest import as_collection

TEXTS = ("gold of the", "silver by", "as the bronze is", "stone", "to the and of in")
WINDOW = Request("metal", tuple(Passage(str(i), text) for i, text in enumerate(TEXTS)), "q")
DRAWN = Drawn(WINDOW, (3.0, 2.0, 1.0, 0.0, 0.0), tuple(range(5)))


@pytest.fixture
def marks(recipe):
    """A recipe that keeps the probe."""

    def made(*, probe=None, loss=None, **fields):
        losses = {"rank": {"name": "listnet"}, "lm": {"weight": 0}, "probe": {"weight": 1, "layer": 1} | (probe or {})} | (loss or {})
        return recipe(answer="marks", loss=losses, **fields)

    return made


def served(folder):
    scorer, spec = open_scorer(str(folder), device="cpu", dtype="float32", threads=1)
    try:
        return asyncio.run(scorer.open(WINDOW).score(tuple(range(5)))).values, spec
    finally:
        scorer.close()


@pytest.mark.parametrize("template", ["compact", "first"])
def test_serving_reads_what_training_read(template, marks, tiny_model, tmp_path):
    config = marks(template=template, tuning={"method": "full"})
    model = open_model(config)
    network = load_network(model, config).eval()
    wanted = network(batch=collate([encoded(DRAWN, model, config)])).marks[0].tolist()
    folder = shutil.copytree(tiny_model, tmp_path / "exported")
    (folder / "firstrank.yaml").write_text(yaml.safe_dump(settings(model)))
    values, spec = served(folder)
    assert values == pytest.approx(wanted, abs=1e-4)
    assert (spec.answer, spec.layers, spec.norm) == ("marks", 1, "plain")
    assert spec.label_ids == model.prompter.label_ids(len(model.prompter.identifiers))


@pytest.mark.parametrize("alone", [False, True], ids=["with label logits", "alone"])
def test_what_a_run_leaves_ranks_by_the_marks_that_it_trained(alone, marks, train_file, tmp_path):
    loss = {"rank": {"name": "listnet", "weight": 0 if alone else 10}}
    dev = as_collection(train_file, tmp_path / "dev")
    config = marks(loss=loss, dev=dev | {"every": 6}, checkpoints={"every": 6})
    folder = train(config)
    kept = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    assert kept == (1 if alone else 2), "what lies above is trained, and kept, where anything reads it"
    values, _ = served(folder)
    assert values == pytest.approx(served(config.output / "adapter")[0], abs=1e-5)
    given = [f"--{name}={path}" for name, path in dev.items()]
    ranked = ["rerank", "--model", str(folder), *given, "--output", str(tmp_path / "out.trec"), "--device=cpu", "--dtype=float32", "--json"]
    done = CliRunner().invoke(app, ranked, catch_exceptions=False)
    last = read_log(config.output / "log.jsonl")[-1]["ndcg@10"]
    assert json.loads(done.stdout)["measures"]["nDCG@10"]["reranked"] == pytest.approx(last, abs=1e-9), "the dev score is that of marks"
    card = (folder / "README.md").read_text()
    assert "from what the network's first 1 layers say of each" in card
    assert "1 · it at layer 1" in card


def test_the_network_is_whole_again_after_the_dev_score(marks, train_file, tmp_path):
    config = marks()
    model = open_model(config)
    network = causal_model(load_network(model, config))
    before = network.base_model.layers, network.base_model.norm, len(network.base_model.layers)
    dev = DevSet(Dev.model_validate(as_collection(train_file, tmp_path / "dev") | {"limit": 3}))
    passes = []
    network.base_model.layers[1].register_forward_hook(lambda *_: passes.append(1))
    dev.score(network, model, 1)
    assert not passes, "the dev score reads the first layer alone"
    assert (network.base_model.layers, network.base_model.norm, len(network.base_model.layers)) == before


def test_the_label_logits_teach_the_marks_and_do_not_move_for_it(marks):
    config = marks(probe={"weight": 0, "distill": 2}, loss={"rank": {"weight": 0}, "lm": {"weight": 1}})
    model = open_model(config)
    network = load_network(model, config).eval()
    batch = collate([encoded(DRAWN, model, config)])
    seen = network(batch=batch)
    terms = TotalLoss(config)(seen, batch, 0.0)
    teacher, found = seen.scores.detach().double().softmax(-1), seen.marks.detach().double().log_softmax(-1)
    assert terms.distill.item() == pytest.approx((teacher * (teacher.log() - found)).sum().item(), rel=1e-4)
    assert terms.total.item() == pytest.approx((terms.lm + 2 * terms.distill).item(), rel=1e-6)
    assert "distill" in TotalLoss(config).names
    slopes = torch.autograd.grad(terms.distill.sum(), [seen.marks, seen.scores], allow_unused=True)
    torch.testing.assert_close(slopes[0].double(), found.exp() - teacher, rtol=1e-4, atol=1e-5)
    assert slopes[1] is None


def test_marks_that_say_what_the_labels_say_cost_nothing():
    scores, mask = torch.tensor([[1.0, -2.0, 0.5, 9.0]]), torch.tensor([[True, True, True, False]])
    moved = torch.where(mask, scores + 7.0, torch.tensor(-3.0))
    assert float(distilled(moved, scores, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(distilled(-moved, scores, torch.tensor([[1.0, 1.0, 1.0, 0.0]]), mask)) == 0.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answer": "marks", "loss": {}}, r"answer: marks: .* it is off; say loss.probe.weight=1 and loss.probe.layer=N"),
        (
            {"loss": {"rank": {"weight": 0}, "lm": {"weight": 0}, "probe": {"weight": 1}}},
            "rank.weight and lm.weight are both 0, and the probe is dropped: say answer=marks to keep it",
        ),
        (
            {"answer": "permutation", "loss": {"rank": {"weight": 0}, "probe": {"distill": 1}}},
            r"loss.probe.distill, .*: their labels must be single tokens",
        ),
    ],
)
def test_recipes_that_cannot_be(fields, message, recipe):
    with pytest.raises(InputError, match=message):
        open_model(recipe(**fields))


def test_the_last_layer_and_layers_that_are_not_there(marks):
    for config, error, message in (
        (marks(probe={"layer": 2}), InputError, "loss.probe.layer: 2 is the model's last, and answer: marks keeps an earlier one"),
        (marks(probe={"layer": 3}, loss={"rank": {"weight": 0}}), ModelError, "layers: 3 cannot be kept, for the network has 2"),
    ):
        with pytest.raises(error, match=message):
            load_network(open_model(config), config)


def test_a_model_of_marks_can_be_trained_to_answer_by_logits_again(recipe, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "marks")
    (folder / "firstrank.yaml").write_text("answer: marks\nlayers: 1\ntemplate: compact\ncontext: 1024\n")
    spec = open_model(recipe(model=str(folder), answer="logits")).spec
    assert (spec.answer, spec.layers, spec.norm) == ("logits", None, "own")
    again = open_model(recipe(model=str(folder), loss={"probe": {"weight": 1, "layer": 2}})).spec
    assert (again.answer, again.layers, again.norm) == ("marks", 2, "plain"), "the recipe's layer is what counts"


def test_a_base_whose_settings_keep_its_first_layers_is_trained_and_served_with_them(recipe, tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "base")
    (base / "firstrank.yaml").write_text("layers: 1\nnorm: plain\n")
    config = recipe(model=str(base), steps=1)
    folder = train(config)
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 1
    weights = load_file(config.output / "adapter" / "adapter_model.safetensors")
    assert weights
    assert not any(".layers.1." in name for name in weights)
    whole, alone = (served(path)[0] for path in (folder, config.output / "adapter"))
    assert whole == pytest.approx(alone, abs=1e-4)
    assert pull(str(config.output / "adapter")) == config.output / "adapter"
