"""Layers in fp8: which are chosen, and what is said where it cannot be. torchao's own products need a GPU."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from firstrank.reranker.errors import MachineError
from firstrank.reranker.models import fp8


@pytest.fixture
def torchao(monkeypatch):
    """A stand-in that takes note of the layers it is given."""
    import torch

    chosen = []

    def quantize_(network, config, filter_fn):
        chosen.extend(name for name, layer in network.named_modules() if filter_fn(layer, name))

    there, quantization = ModuleType("torchao"), ModuleType("torchao.quantization")
    quantization.quantize_, quantization.PerRow = quantize_, lambda: "a scale a row"
    quantization.Float8DynamicActivationFloat8WeightConfig = lambda granularity: granularity
    monkeypatch.setitem(sys.modules, "torchao", there)
    monkeypatch.setitem(sys.modules, "torchao.quantization", quantization)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Old")
    return chosen


def test_wide_linear_layers_but_not_the_head(torchao):
    import torch

    network = torch.nn.ModuleDict({"wide": torch.nn.Linear(32, 64), "odd": torch.nn.Linear(32, 7), "head": torch.nn.Linear(32, 128)})
    network["norm"] = torch.nn.LayerNorm(32)
    fp8.quantize_to_fp8(network, torch.device("cuda"), keep=(network["head"],))
    assert torchao == ["wide"]


def test_a_gpu_without_units_for_it_is_a_sentence(torchao, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    with pytest.raises(MachineError, match="--dtype fp8: NVIDIA Old has no units for it; take bfloat16"):
        fp8.quantize_to_fp8(torch.nn.Linear(32, 32), torch.device("cuda"))


def test_without_torchao_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(MachineError, match="--dtype fp8 needs torchao: pip install torchao"):
        fp8.check_installed()
