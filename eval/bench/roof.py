"""What a machine could do at best: FLOPs of a window, and the rate of the matrix products that a window is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a dense model's architecture costs time."""

    parameters: int
    """without embeddings and output head, of which a window reads a few rows only"""
    layers: int
    width: int
    """attention heads x their size"""
    products: tuple[tuple[int, int], ...]
    """(outputs, inputs) of each kind of weight matrix in a layer"""


def shape_of(folder: str | Path) -> Shape:
    """The shape of the model in a local folder; reads its config.json, not its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        network: Any = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    apart = {id(parameter) for end in ends for parameter in end.parameters()}
    inner = [module for module in network.modules() if isinstance(module, torch.nn.Linear) and module not in ends]
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        parameters=sum(parameter.numel() for parameter in network.parameters() if id(parameter) not in apart),
        layers=text.num_hidden_layers,
        width=text.num_attention_heads * head,
        products=tuple(sorted({(module.out_features, module.in_features) for module in inner})),
    )


def flops_of_window(shape: Shape, tokens: int) -> float:
    """FLOPs of a plain forward pass over a prompt of `tokens`: two a parameter and token, and causal attention's two products."""
    return 2.0 * shape.parameters * tokens + 2.0 * shape.layers * shape.width * tokens**2


def product_rate(shape: Shape, tokens: int, device: Any = "cpu", dtype: Any = None) -> float:
    """FLOP/s of the fastest of the model's matrix products with `tokens` rows: each is run once to warm up, then timed once."""
    import torch

    best = 0.0
    for outputs, inputs in shape.products:
        left = torch.randn(tokens, inputs, device=device, dtype=dtype)
        right = torch.randn(outputs, inputs, device=device, dtype=dtype).t()
        result = torch.empty(tokens, outputs, device=device, dtype=dtype)
        _seconds(left, right, result)
        best = max(best, 2.0 * tokens * inputs * outputs / _seconds(left, right, result))
    return best


def _seconds(left: Any, right: Any, result: Any) -> float:
    import torch

    started = time.perf_counter()
    torch.mm(left, right, out=result)
    if result.is_cuda:
        torch.cuda.synchronize(result.device)
    return time.perf_counter() - started
