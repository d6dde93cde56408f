"""LoRA over weights that are held in 4 or 8 bits, through `train`. What needs bitsandbytes runs in `make test-integrations`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from firstrank.reranker.errors import InputError, MissingExtra
from firstrank.training import quantised
from firstrank.training.config import Config
from firstrank.training.network import load_network
from firstrank.training.run import open_model, train
from tests.training.conftest import as_collection, write_rule
from tests.training.interrupted import Killed, curve, kill_at

needs_it = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def lora(bits: int, **more: Any) -> dict[str, Any]:
    return {"lora": {"rank": 4, "alpha": 8, "bits": bits} | more}


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        (lora(4) | {"method": "full"}, "with method=full they move; say lora"),
        (lora(8) | {"method": "lisa"}, "with method=lisa they move; say lora"),
        (lora(4, fused=True), "fused: multiplies whole weights"),
        (lora(3), "Input should be 4 or 8"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_loaded(recipe, tuning, said):
    with pytest.raises(ValidationError, match=said):
        recipe(tuning=tuning)


def test_a_missing_package_and_sharding_are_sentences(recipe, monkeypatch):
    config: Config = recipe(tuning=lora(4))
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"tuning.lora.bits needs the package 'bitsandbytes': pip install 'firstrank\[qlora\]'"):
        train(config)
    monkeypatch.setattr(quantised, "find_spec", lambda name: name)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="weights in few bits are not sharded"):
        train(config)
    assert not config.output.exists()


def linears(network: Any) -> dict[str, Any]:
    """The base's layers below the head, by the names that PEFT gives them."""
    return {name: module for name, module in network.named_modules() if name.endswith(".base_layer")}


def whole(layer: Any) -> torch.Tensor:
    """The weights that a layer multiplies by."""
    import bitsandbytes.functional as F

    if hasattr(layer.weight, "quant_state"):
        return F.dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
    return layer.weight.data.float() * (layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB)[:, None] / 127


@needs_it
@pytest.mark.parametrize("bits", [4, 8])
def test_layers_hold_what_was_read_in_few_bits(bits, recipe):
    plain = linears(load_network(open_model(recipe()), recipe()))
    config = recipe(tuning=lora(bits))
    network = load_network(open_model(config), config)
    held = linears(network)
    assert held.keys() == plain.keys()
    assert len(held) == 2 * 7
    for name, layer in held.items():
        weight = plain[name].weight.float()
        assert layer.weight.element_size() * layer.weight.numel() == weight.numel() * bits // 8
        off = (whole(layer) - weight).norm() / weight.norm()
        assert 0 < off < (0.11 if bits == 4 else 0.02)
    moving = {name for name, one in network.named_parameters() if one.requires_grad}
    assert moving
    assert all("lora_" in name for name in moving)
    head = network.get_base_model().get_output_embeddings()
    assert torch.equal(head.weight, load_network(open_model(recipe()), recipe()).get_base_model().get_output_embeddings().weight)


@needs_it
@pytest.mark.parametrize("bits", [4, 8])
def test_gradients_are_those_of_plain_layers_with_the_same_weights(bits, recipe):
    config = recipe(tuning=lora(bits))
    network = load_network(open_model(config), config)
    plain = load_network(open_model(recipe(tuning=lora(bits))), recipe(tuning={"lora": {"rank": 4, "alpha": 8, "fused": False}}))
    ids = torch.randint(0, 900, (2, 12), generator=torch.Generator().manual_seed(0))
    drawn = torch.Generator().manual_seed(1)
    for name, one in network.named_parameters():
        if "lora_" in name:
            one.data = torch.randn(one.shape, generator=drawn) * 0.05
    adapter = {name: value for name, value in network.state_dict().items() if "lora_" in name}
    plain.load_state_dict(adapter, strict=False)
    for name, layer in linears(plain).items():
        layer.weight.data = whole(linears(network)[name])
    found = []
    for one in (network, plain):
        one.train()
        one(input_ids=ids).logits.square().mean().backward()
        found.append({name: value.grad for name, value in one.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys() == adapter.keys()
    for name, slope in found[1].items():
        assert (found[0][name] - slope).norm() / slope.norm() < (1e-3 if bits == 4 else 0.05), name


@needs_it
@pytest.mark.parametrize(
    "tuning",
    [
        lora(4),
        lora(8),
        lora(4, dora=True),
        lora(4) | {"precision": "bfloat16"},
        lora(8) | {"precision": "mixed", "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_the_loss_goes_down_and_what_is_exported_is_merged_into_whole_weights(tuning, recipe, tmp_path):
    config: Config = recipe(
        tuning=tuning, steps=30, batch={"windows": 8, "accumulation": 1}, optimiser={"lr": 1e-2}, checkpoints={"every": 30}
    )
    folder = train(config)
    losses = [loss for loss, *_ in curve(config)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert folder == config.output / "model"
    merged, base = load_file(folder / "model.safetensors"), load_file(f"{config.model}/model.safetensors")
    assert merged.keys() == base.keys()
    if config.tuning.lora.dora:
        return
    adapter = load_file(config.output / "adapter" / "adapter_model.safetensors")
    changed = 0
    for name in base:
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        change = 0.0
        if f"{stem}.lora_A.weight" in adapter:
            change = 2.0 * adapter[f"{stem}.lora_B.weight"] @ adapter[f"{stem}.lora_A.weight"]
            changed += 1
        torch.testing.assert_close(merged[name], base[name] + change, atol=1e-5, rtol=1e-5)
    assert changed == 2 * 7


@needs_it
@pytest.mark.parametrize("bits", [4, 8])
def test_scoring_on_the_way_and_a_resume_change_no_byte(bits, recipe, tmp_path, monkeypatch):
    dev = as_collection(write_rule(tmp_path / "dev.jsonl", 2, seed=9), tmp_path / "dev")
    same = {"tuning": lora(bits), "steps": 4, "dev": dev | {"every": 2}, "checkpoints": {"every": 2}}
    config = recipe(**same, output=str(tmp_path / "whole"))
    train(config)
    cut = recipe(**same, output=str(tmp_path / "cut"))
    with monkeypatch.context() as patched:
        kill_at(patched, 3)
        with pytest.raises(Killed):
            train(cut)
    train(cut)
    without = recipe(**same | {"dev": None}, output=str(tmp_path / "without"))
    train(without)
    assert curve(cut) == curve(config) == curve(without)
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors"):
        assert (cut.output / name).read_bytes() == (config.output / name).read_bytes()


@needs_it
def test_a_network_without_linear_layers_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=50))
    with pytest.raises(InputError, match="has no plain linear layers below its head"):
        quantised.quantise(network, 4, torch.float32)
