"""What a machine could do at best: FLOPs of a window, and the rate of the matrix products that a window is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstrank.reranker.models.arithmetic import dtype_of
from firstrank.reranker.models.int8 import Int8Linear


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


def product_rate(shape: Shape, tokens: int, device: Any = "cpu", arithmetic: str = "float32") -> float:
    """FLOP/s of the fastest of the model's matrix products with `tokens` rows: each is run once to warm up, then timed once.

    In int8 with what goes with it: activations are made whole numbers, and the sums are scaled. Of fp8 it is bf16's.
    """
    import torch

    best = 0.0
    for outputs, inputs in shape.products:
        layer: Any = torch.nn.Linear(inputs, outputs, bias=False, device=device).requires_grad_(False)
        rows = torch.randn(tokens, inputs, device=device)
        if arithmetic == "int8":
            layer = Int8Linear(layer, rows.abs().amax(0))
        else:
            layer, rows = (one.to(dtype_of(arithmetic)) for one in (layer, rows))
        _seconds(layer, rows)
        best = max(best, 2.0 * tokens * inputs * outputs / _seconds(layer, rows))
    return best


def bandwidth() -> float:
    """Bytes a second that this machine's CPU copies within its memory, read and written; the best of three."""
    import torch

    left = torch.ones(1 << 26)
    right = torch.empty_like(left)
    return max(2.0 * left.nbytes / _seconds(right.copy_, left) for _ in range(3))


def _seconds(work: Any, given: Any) -> float:
    import torch

    started = time.perf_counter()
    work(given)
    if given.is_cuda:
        torch.cuda.synchronize(given.device)
    return time.perf_counter() - started
