"""Linear layers in int8, for CPUs: weights per channel, activations per token, both symmetric; products by VNNI or AMX through oneDNN.

A token's activations are scaled by their largest value, and a few channels of a language model are far larger than all others. So each
channel is first made smaller by a power of what it usually holds, and its weights larger (SmoothQuant, Xiao et al., arXiv 2211.10438).
Sums are exact (int32): a token's result does not depend on its company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from firstrank.reranker.models.arithmetic import NARROW

_ZERO = 128
"""activations are stored unsigned: x86's instruction multiplies unsigned by signed bytes"""
_POWER = 0.4
"""of a channel's usual size; measured on SmolLM2-135M: 0 .056, 0.3 .032, 0.5 .037, 0.9 .065 (error of the states, Frobenius)"""


class Int8Linear(nn.Module):
    """x [..., in] -> x Wᵀ + b [..., out], in x's dtype. `usual` [in] is the largest value that each channel held in an example."""

    def __init__(self, layer: nn.Linear, usual: Tensor) -> None:
        super().__init__()
        smooth = usual.float().clamp_min(1e-5) ** _POWER
        weight = layer.weight.detach().float() * smooth
        scale = weight.abs().amax(1).clamp_min_(1e-12) / 127
        whole = (weight / scale[:, None]).round_().to(torch.int8)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._smooth, self._scale, self._zero = 1 / smooth, scale, torch.zeros(len(scale), dtype=torch.int32)
        self._bias = None if layer.bias is None else layer.bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features) * self._smooth
        scale = rows.abs().amax(1, keepdim=True).clamp_min_(1e-12).div_(127)
        whole = rows.div_(scale).round_().add_(_ZERO).to(torch.uint8)
        found: Tensor = torch.ops.onednn.qlinear_pointwise(
            whole, 1.0, _ZERO, self._packed, self._scale, self._zero, None, 1.0, 0, torch.float32, "none", [], ""
        ).mul_(scale)
        if self._bias is not None:
            found += self._bias
        return found.to(x.dtype).view(*x.shape[:-1], self.out_features)


def quantize(network: nn.Module, example: Callable[[], Any], keep: tuple[nn.Module | None, ...] = ()) -> int:
    """Puts int8 layers in place of a network's wide linear ones, but for those to `keep` (its head). Returns how many.

    `example` runs the network on an input like those to come.
    """
    kept = set(map(id, keep))
    places = [(parent, name, layer) for parent, name, layer in _linear(network) if id(layer) not in kept and layer.in_features >= NARROW]
    usual = _usual([layer for _, _, layer in places], example)
    for parent, name, layer in places:
        if id(layer) in usual:  # else nothing ran it, and nothing will
            setattr(parent, name, Int8Linear(layer, usual[id(layer)]))
    return len(usual)


def _linear(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                yield parent, name, layer


def _usual(layers: list[nn.Linear], example: Callable[[], Any]) -> dict[int, Tensor]:
    """A layer's id -> [in]: the largest absolute value that each channel of its input held."""
    found: dict[int, Tensor] = {}

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        largest = given[0].detach().abs().reshape(-1, given[0].shape[-1]).amax(0)
        found[id(layer)] = torch.maximum(found.get(id(layer), largest), largest)

    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.inference_mode():
            example()
    finally:
        for hook in hooks:
            hook.remove()
    return found
