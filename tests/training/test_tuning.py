"""Early stopping, LISA, NEFTune, optimisers of low rank; and that packing and recomputation change no loss. All through `train`."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from firstrank.reranker.errors import InputError
from firstrank.training import arguments, machine, output
from firstrank.training.dev import DevSet
from firstrank.training.lisa import LayerSampling
from firstrank.training.log import read_log
from firstrank.training.run import train
from firstrank.training.trainer import RankTrainer
from tests.training.conftest import as_collection
from tests.training.interrupted import Killed, curve, kill_at

PLAIN = {"lora": {"rank": 4, "alpha": 8}}
"""without dropout, whose draws depend on a tensor's shape"""


@pytest.fixture
def dev(train_file, tmp_path):
    return as_collection(train_file, tmp_path / "dev") | {"limit": 2}


def resumed(monkeypatch, config, at: int) -> list[tuple[float, float, float]]:
    """The losses of a run that is killed before that step's forward pass and then goes on."""
    with monkeypatch.context() as patched:
        kill_at(patched, at)
        with pytest.raises(Killed):
            train(config)
    train(config)
    return curve(config)


@pytest.mark.parametrize("killed", [False, True])
def test_training_stops_where_ndcg_stops_rising_and_keeps_the_best(killed, recipe, dev, monkeypatch):
    scores = iter([0.4, 0.5, 0.7, 0.6, 0.65, 0.9])
    monkeypatch.setattr(DevSet, "score", lambda *_: next(scores))
    config = recipe(steps=6, dev=dev | {"every": 1, "patience": 2}, checkpoints={"every": 1, "keep": 2})
    if killed:
        with monkeypatch.context() as patched:
            kill_at(patched, 3)
            with pytest.raises(Killed):
                train(config)
    assert train(config) == config.output / "model"
    log = read_log(config.output / "log.jsonl")
    assert [entry["ndcg@10"] for entry in log if "ndcg@10" in entry] == [0.4, 0.5, 0.7, 0.6, 0.65]
    assert log[-1]["step"] == 4
    left, best = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (config.output / "adapter", config.output / "checkpoints" / "checkpoint-2")
    )
    assert left.keys() == best.keys()
    assert all(torch.equal(left[name], best[name]) for name in left)
    cards = {(config.output / folder / "README.md").read_text() for folder in ("adapter", "model")}
    assert ["dev nDCG@10 | 0.7000 at step 2, whose weights these are" in card for card in cards] == [True]


def test_without_patience_it_goes_on_to_the_last_step(recipe, dev, monkeypatch):
    scores = iter([0.1, 0.9, 0.1, 0.1])
    monkeypatch.setattr(DevSet, "score", lambda *_: next(scores))
    config = recipe(steps=3, dev=dev | {"every": 1}, checkpoints={"every": 1})
    train(config)
    assert len(curve(config)) == 3


def test_an_adapter_goes_on_where_another_run_left_it(recipe, tmp_path):
    first = recipe(steps=2, output=str(tmp_path / "first"), tuning=PLAIN)
    train(first)
    start = first.output / "adapter"
    further = recipe(
        steps=1, output=str(tmp_path / "further"), tuning={"lora": PLAIN["lora"] | {"start": str(start)}}, optimiser={"lr": 1e-30}
    )
    train(further)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (start, further.output / "adapter"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_adapter_that_does_not_fit_the_recipe_is_refused(recipe, tmp_path):
    first = recipe(steps=1, output=str(tmp_path / "first"), tuning=PLAIN)
    train(first)
    start = first.output / "adapter"
    for lora, said in (
        ({"rank": 2, "start": str(start)}, "another rank, or other modules or layers"),
        (PLAIN["lora"] | {"layers": [1, 1], "start": str(start)}, "not moved here"),
        (PLAIN["lora"] | {"start": str(tmp_path)}, "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            train(recipe(steps=1, output=str(tmp_path / "further"), tuning={"lora": lora}))


def test_lisa_leaves_the_layers_that_rest_as_they_were(recipe, tiny_model):
    config = recipe(steps=2, tuning={"method": "lisa", "lisa": {"layers": 1, "every": 2}})
    train(config)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(config.output / "model" / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    drawn = LayerSampling(Layers(2), config.tuning.lisa, config.seed).drawn(0)[0]
    assert {name for name in before if f".layers.{drawn}." in name} <= moved
    assert not any(f".layers.{1 - drawn}." in name for name in moved)
    assert "model.embed_tokens.weight" in moved


class Layers(torch.nn.Module):
    """As many blocks, with nothing in them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.base_model = torch.nn.Sequential(torch.nn.ModuleList(torch.nn.Identity() for _ in range(count)))


def test_a_lisa_run_killed_between_two_draws_resumes_to_the_same_losses(recipe, tmp_path, monkeypatch):
    settings = {"seed": 2, "steps": 6, "tuning": {"method": "lisa", "lisa": {"layers": 1, "every": 3}}}
    whole = recipe(**settings, output=str(tmp_path / "whole"))
    train(whole)
    draws = {LayerSampling(Layers(2), whole.tuning.lisa, whole.seed).drawn(step) for step in range(6)}
    assert len(draws) == 2, "another seed: the second draw must differ from the first"
    found = resumed(monkeypatch, recipe(**settings, output=str(tmp_path / "killed")), 3)
    for mine, theirs in zip(found, curve(whole), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)


def test_neftune_s_noise_is_there_in_training_alone(recipe, dev, monkeypatch):
    """What is added is uniform, of ±alpha/sqrt(tokens · width); scoring and the exported weights are without."""
    calls: list[str] = []

    def embedded(network, ids):
        with torch.no_grad():
            return network.get_input_embeddings()(ids) - network.get_input_embeddings().weight[ids]

    def score(self, network, model, threads=None):
        ids = torch.arange(50).reshape(5, 10)
        noise = embedded(network.train(), ids)
        assert 0 < noise.abs().max() <= 5 / math.sqrt(10 * noise.shape[-1])
        assert embedded(network.eval(), ids).abs().max() == 0
        network.train()
        calls.append("scored")
        return 0.5

    monkeypatch.setattr(DevSet, "score", score)
    config = recipe(steps=2, tuning=PLAIN | {"neftune": 5}, dev=dev | {"every": 2}, checkpoints={"every": 2})
    train(config)
    assert calls == ["scored", "scored"]  # before the first step, and after the last
    plain = recipe(steps=2, tuning=PLAIN, output=str(config.output) + "-plain")
    train(plain)
    assert curve(config)[0] != pytest.approx(curve(plain)[0], rel=1e-4)
    left = load_file(config.output / "model" / "model.safetensors")
    assert torch.equal(
        left["model.embed_tokens.weight"], load_file(plain.output / "model" / "model.safetensors")["model.embed_tokens.weight"]
    )


@pytest.mark.parametrize(
    ("fields", "tolerance"),
    [({"tuning": PLAIN | {"gradient_checkpointing": True}}, 1e-6), ({"batch": {"windows": 2, "accumulation": 2, "packing": True}}, 1e-4)],
    ids=["gradient checkpointing", "packing"],
)
def test_what_saves_memory_changes_no_loss(fields, tolerance, recipe, tmp_path):
    plain = recipe(steps=3, tuning=PLAIN, output=str(tmp_path / "plain"))
    saving = recipe(**{"steps": 3, "tuning": PLAIN, "output": str(tmp_path / "saving")} | fields)
    train(plain)
    train(saving)
    for mine, theirs in zip(curve(saving), curve(plain), strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance)


def test_gradient_checkpointing_does_compute_again(recipe, monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaMLP

    calls, usual = [], LlamaMLP.forward

    def forward(self, *args):
        calls.append(self)
        return usual(self, *args)

    monkeypatch.setattr(LlamaMLP, "forward", forward)
    counts = {}
    for on in (False, True):
        calls.clear()
        train(recipe(steps=1, tuning=PLAIN | {"gradient_checkpointing": on}, output=f"{recipe().output}-{on}"))
        counts[on] = len(calls)
    assert counts[True] == 2 * counts[False] > 0


LOW_RANK = {"galore_adamw": "galore_torch", "apollo_adamw": "apollo_torch"}


@pytest.mark.parametrize("name", LOW_RANK)
def test_a_low_rank_optimiser_without_its_package_says_what_to_install(name, recipe):
    if find_spec(LOW_RANK[name]):
        pytest.skip(f"{LOW_RANK[name]} is installed")
    config = recipe(tuning={"method": "full"}, optimiser={"name": name, "target_modules": ["q_proj"]})
    with pytest.raises(InputError, match=rf"optimiser '{name}': .*{LOW_RANK[name]}"):
        train(config)


@pytest.mark.parametrize("name", LOW_RANK)
def test_a_low_rank_optimiser_moves_all_weights_with_small_states_and_resumes(name, recipe, tmp_path, monkeypatch):
    pytest.importorskip(LOW_RANK[name])
    settings = {
        "steps": 6,
        "tuning": {"method": "full"},
        "optimiser": {"name": name, "args": "rank=4, update_proj_gap=3", "target_modules": ["attn", "mlp"], "lr": 1e-3},
    }
    states = []
    usual = RankTrainer.log

    def log(self, *args, **kwargs):
        states.append({p.shape: self.optimizer.state[p]["exp_avg"].numel() for p in self.model.parameters() if p in self.optimizer.state})
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(RankTrainer, "log", log)
    whole = recipe(**settings, output=str(tmp_path / "whole"))
    train(whole)
    small = {shape: count for shape, count in states[0].items() if len(shape) == 2 and count < shape.numel()}
    assert small
    assert all(count == 4 * max(shape) for shape, count in small.items())
    found = resumed(monkeypatch, recipe(**settings, output=str(tmp_path / "killed")), 3)
    assert found[-1][0] != found[0][0]
    for mine, theirs in zip(found, curve(whole), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("optimiser", [{"name": "no_such"}, {"schedule": "no_such"}])
def test_an_unknown_optimiser_or_schedule_is_named(optimiser, recipe):
    config = recipe(optimiser=optimiser)
    with pytest.raises(InputError, match="no_such"):
        train(config)
    assert not (config.output / output.CONFIG).exists(), "a corrected recipe finds the folder taken"


def test_a_logger_that_is_not_installed_is_named(recipe, monkeypatch):
    monkeypatch.setattr(arguments, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"log.wandb: the package is not installed: pip install wandb"):
        train(recipe(log={"wandb": "rerankers"}))


def test_the_project_s_name_reaches_wandb(recipe, monkeypatch):
    monkeypatch.setattr(arguments, "find_spec", lambda name: name)
    monkeypatch.setenv("WANDB_PROJECT", "another")
    assert arguments.arguments_of(recipe(log={"wandb": "rerankers"}), 1).report_to == ["wandb"]
    assert os.environ["WANDB_PROJECT"] == "rerankers"


@pytest.mark.parametrize(
    ("kind", "onednn", "avx512_bf16", "amx", "pays"),
    [
        ("x86_64", True, False, False, False),  # AVX-512 alone: oneDNN takes bf16 and emulates it
        ("x86_64", False, False, False, False),
        ("x86_64", True, True, False, True),
        ("x86_64", True, False, True, True),
        ("aarch64", True, False, False, True),
        ("aarch64", False, False, False, False),
    ],
)
def test_mixed_precision_is_fp32_on_a_cpu_without_bf16_units(kind, onednn, avx512_bf16, amx, pays, recipe, monkeypatch, caplog):
    caplog.set_level("INFO", "firstrank")
    monkeypatch.setattr(machine, "on_cpu", lambda: True)
    monkeypatch.setattr(machine.platform, "machine", lambda: kind)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert arguments.arguments_of(recipe(tuning={"precision": "mixed"}), 1).bf16 is pays
    assert ("no bf16 units" in caplog.text) is not pays


@pytest.mark.parametrize(("units", "arithmetic"), [(True, "bfloat16"), (False, "float32")])
def test_the_card_says_what_mixed_meant_here(units, arithmetic, recipe, monkeypatch):
    monkeypatch.setattr(machine, "_has_bf16", lambda: units)
    left = train(recipe(steps=1, tuning={"precision": "mixed"}))
    assert f"| arithmetic | {arithmetic} |" in (left / "README.md").read_text()
