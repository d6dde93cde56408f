"""LoRA in one step of autograd a layer: the product with the weights and the thin ones of the change, forward and back.

PEFT computes in the adapter's fp32, by way of copies, and keeps what each product needs. Here all is in the type of the input; x A is
all that is kept beside the input.

The change is part of the layer's one product, [x, x A] by [W, B], so that bf16 rounds the sum once. Were it added to a product that is
rounded already, what is less than half a step of bf16's grid would be lost every time: at the start of a training that is nearly all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from firstrank.reranker.errors import InputError
from firstrank.training.machine import on_cpu
from firstrank.training.sections import Tuning


def fuses(tuning: Tuning) -> bool:
    """Whether a recipe's layers are computed so. Raises InputError where it asks for that and has dropout or DoRA, which stand between the
    products."""
    lora = tuning.lora
    between = lora.dropout > 0 or lora.dora
    if tuning.method == "lora" and lora.fused and between:
        raise InputError("tuning.lora.fused: dropout and DoRA stand between the products: leave one of them out")
    return tuning.method == "lora" and not between and (on_cpu() if lora.fused is None else lora.fused)


def fuse(network: Any, dtype: torch.dtype) -> None:
    """Teaches an adapted network's layers to multiply so, in `dtype`; those without an adapter take what is in fp32 in it too."""
    from peft.tuners.lora import Linear

    for layer in network.modules():
        if isinstance(layer, Linear) and type(layer.get_base_layer()) is torch.nn.Linear:
            layer.forward = _Forward(layer, dtype)  # type: ignore[method-assign]  # of this layer alone
        elif dtype != torch.float32 and any(one.dtype == dtype and one.ndim > 1 for one in layer.parameters(recurse=False)):
            layer.forward = _InType(layer.forward, dtype)


class _InType:
    """A layer's forward pass on inputs of its own type: autocast sees to that in a training, but not where a scorer reads."""

    def __init__(self, usual: Callable[..., Any], dtype: torch.dtype) -> None:
        self._usual, self._dtype = usual, dtype

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return self._usual(x, *args, **kwargs)
        found = self._usual(_cast(x, self._dtype), *(_cast(one, self._dtype) for one in args), **kwargs)
        return found.to(x.dtype) if isinstance(found, Tensor) else found


def _cast(one: Any, dtype: torch.dtype) -> Any:
    return one.to(dtype) if isinstance(one, Tensor) and one.is_floating_point() else one


class _Forward:
    """Of one layer."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._layer, self._dtype, self._name = layer, dtype, layer.active_adapters[0]

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base, name = self._layer.get_base_layer(), self._name
        weight: Tensor = base.weight.to(self._dtype)
        bias = None if base.bias is None else base.bias.to(self._dtype)
        kind, x = x.dtype, x.to(self._dtype)
        if self._layer.disable_adapters or self._layer.merged:
            return linear(x, weight, bias).to(kind)
        a, b, scale = self._layer.lora_A[name].weight, self._layer.lora_B[name].weight, self._layer.scaling[name]
        found: Tensor = _Product.apply(x, weight, a, b, scale)  # type: ignore[no-untyped-call]  # torch says no type
        found = found if bias is None else found + bias
        return found if torch.is_grad_enabled() else found.to(kind)  # a scorer's attention takes one type only


class _Product(torch.autograd.Function):
    """x, W, A, B, s -> x Wᵀ + s (x Aᵀ) Bᵀ, with gradients for x, A and B; none for W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = scale * (flat @ a.to(x.dtype).T)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return (torch.cat([flat, inner], 1) @ torch.cat([weight, b.to(x.dtype)], 1).T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        flat, slope = x.reshape(-1, x.shape[-1]), slopes[0].reshape(-1, weight.shape[0]).to(weight.dtype)
        outer = ctx.scale * (slope @ b.to(slope.dtype))
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (torch.cat([slope, outer], 1) @ torch.cat([weight, a.to(slope.dtype)])).view_as(x)
        return for_x, None, (outer.T @ flat).to(a.dtype), (slope.T @ inner).to(b.dtype), None
