"""Int8 layers are close to those they replace, and a token's result is its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from firstrank.reranker.models.int8 import Int8Linear, quantize


def layer_of(bias=False):
    torch.manual_seed(1)
    return nn.Linear(288, 96, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_close_even_where_a_few_channels_are_far_larger(bias):
    layer, x = layer_of(bias), torch.randn(40, 288)
    x[:, 7] *= 60
    exact = layer(x)
    smooth = Int8Linear(layer, x.abs().amax(0))(x)
    plain = Int8Linear(layer, torch.ones(288))(x)

    def error(found):
        return float((found - exact).norm() / exact.norm())

    assert error(smooth) < 0.02
    assert error(smooth) < error(plain) / 2


def test_a_token_s_result_does_not_depend_on_its_company():
    layer, x = Int8Linear(layer_of(), torch.ones(288)), torch.randn(65, 288)
    whole = layer(x)
    assert all(torch.equal(layer(x[i : i + 3]), whole[i : i + 3]) for i in (0, 5, 62))


def test_rows_of_zeros_give_zeros_and_other_dtypes_and_shapes_are_kept():
    layer = Int8Linear(layer_of(), torch.ones(288))
    assert torch.equal(layer(torch.zeros(2, 3, 288)), torch.zeros(2, 3, 96))
    found = layer(torch.randn(2, 3, 288, dtype=torch.bfloat16))
    assert (found.dtype, found.shape) == (torch.bfloat16, (2, 3, 96))


def test_only_what_the_example_ran_is_replaced_and_the_head_is_kept():
    network = nn.ModuleDict({name: nn.Linear(256, 256) for name in ("body", "unused", "head")} | {"narrow": nn.Linear(16, 256)})
    count = quantize(network, lambda: network["head"](network["body"](network["narrow"](torch.randn(3, 16)))), keep=(network["head"],))
    assert count == 1
    kinds = {name: type(layer) for name, layer in network.items()}
    assert kinds == {"body": Int8Linear, "unused": nn.Linear, "head": nn.Linear, "narrow": nn.Linear}
