"""LoRA whose change is merged into a copy of the weights once a step: one product forward, one and four thin ones back.

PEFT multiplies by the weights and by both thin matrices on every pass. Here x (W + sBA)ᵀ is one product; on the way back A and B get
their gradients from thin products, and no matrix of W's size is made. The copy is made anew when A or B has changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from firstrank.reranker.errors import InputError
from firstrank.training.machine import on_cpu
from firstrank.training.sections import Tuning


def merges(tuning: Tuning) -> bool:
    """Whether a recipe's change is merged each step. Raises InputError where it asks for that and has dropout or DoRA, which need the two
    products apart."""
    lora = tuning.lora
    apart = lora.dropout > 0 or lora.dora
    if tuning.method == "lora" and lora.merged and apart:
        raise InputError("tuning.lora.merged: dropout and DoRA need the change apart from the weights: leave one of them out")
    return tuning.method == "lora" and not apart and (on_cpu() if lora.merged is None else lora.merged)


def merge_each_step(network: Any, dtype: torch.dtype) -> None:
    """Teaches an adapted network's layers to multiply so, in `dtype`."""
    from peft.tuners.lora import Linear

    for layer in network.modules():
        if isinstance(layer, Linear) and type(layer.get_base_layer()) is torch.nn.Linear:
            layer.forward = _Forward(layer, dtype)  # type: ignore[method-assign]  # of this layer alone


class _Forward:
    """Of one layer."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._layer, self._dtype, self._name = layer, dtype, layer.active_adapters[0]
        self._made_of: tuple[int, ...] = ()
        self._merged: Tensor | None = None

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base, name = self._layer.get_base_layer(), self._name
        if self._layer.disable_adapters or self._layer.merged:
            self._merged, self._made_of = None, ()
            bias = None if base.bias is None else base.bias.to(x.dtype)
            return torch.nn.functional.linear(x, base.weight.to(x.dtype), bias)
        a, b, scale = self._layer.lora_A[name].weight, self._layer.lora_B[name].weight, self._layer.scaling[name]
        made_of = (a._version, b._version, base.weight._version, id(a), id(b))
        if self._merged is None or made_of != self._made_of:
            self._merged, self._made_of = _merged(base.weight, a, b, scale, self._dtype), made_of
        found: Tensor = _Product.apply(x.to(self._dtype), self._merged, a, b, scale)  # type: ignore[no-untyped-call]  # torch says no type
        return found if base.bias is None else found + base.bias.to(found.dtype)


@torch.no_grad()
def _merged(weight: Tensor, a: Tensor, b: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Rounded once, from fp32: weights that stood on bf16's grid would not feel a change of less than half a step of it."""
    return torch.addmm(weight.float(), b.float(), a.float(), alpha=scale).to(dtype)


class _Product(torch.autograd.Function):
    """x, W + sBA -> x (W + sBA)ᵀ, with gradients for x, A and B; none for W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, merged: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, merged, a, b)
        ctx.scale = scale
        return x @ merged.T

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, merged, a, b = ctx.saved_tensors
        flat, slope = x.reshape(-1, x.shape[-1]), slopes[0].reshape(-1, merged.shape[0]).to(merged.dtype)
        for_x = (slope @ merged).view_as(x) if ctx.needs_input_grad[0] else None
        for_a = ctx.scale * ((slope @ b.to(slope.dtype)).T @ flat).to(a.dtype)
        for_b = ctx.scale * (slope.T @ (flat @ a.to(flat.dtype).T)).to(b.dtype)
        return for_x, None, for_a, for_b, None
