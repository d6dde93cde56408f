"""The weights under an adapter in 4 or 8 bits (QLoRA, arXiv 2305.14314; LLM.int8(), arXiv 2208.07339), by bitsandbytes.

Only the linear layers below the head are held so, layer by layer, on the device that trains; embeddings, norms and the head stay as they
were read. What is exported is merged into weights that are read anew, and has seen no rounding.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import torch

from firstrank.reranker.errors import InputError, MissingExtra
from firstrank.training.machine import on_cpu
from firstrank.training.sections import Tuning

_OUTLIERS = 6.0
"""inputs of an 8-bit layer beyond that are multiplied in 16 bits, as published"""


def check_quantised(tuning: Tuning) -> None:
    """Raises MissingExtra where the package is not here, InputError where weights are to be sharded. Loads nothing."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # peft imports it, and it asks for a package of kernels
    if tuning.lora.bits is None:
        return
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "qlora", "tuning.lora.bits")
    from accelerate.utils import parse_flag_from_env

    if parse_flag_from_env("ACCELERATE_USE_FSDP") or parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise InputError("tuning.lora.bits: weights in few bits are not sharded: leave FSDP and ZeRO out, or the bits")


def quantise(network: Any, bits: int, dtype: torch.dtype) -> None:
    """Puts layers that hold `bits` a weight, and multiply in `dtype`, in the place of the linear ones below the head."""
    device = "cpu" if on_cpu() else torch.accelerator.current_accelerator()
    found = [
        (module, name, layer)
        for module in network.base_model.modules()
        for name, layer in module.named_children()
        if type(layer) is torch.nn.Linear
    ]
    if not found:
        raise InputError("tuning.lora.bits: this network has no plain linear layers below its head, so nothing could be held in few bits")
    for module, name, layer in found:
        setattr(module, name, (_four if bits == 4 else _eight)(layer, dtype).to(device))


def _four(layer: torch.nn.Linear, dtype: torch.dtype) -> Any:
    """NF4 in blocks of 64, their scales in 8 bits."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    with torch.device("meta"):
        made = Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype, compress_statistics=True, quant_type="nf4"
        )
    made.weight = Params4bit(layer.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made)
    made.support_avx512bf16_for_cpu = False  # else scoring repacks the weights for good, into a form that has no gradient
    return _with_bias(made, layer)


def _eight(layer: torch.nn.Linear, dtype: torch.dtype) -> Any:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    with torch.device("meta"):
        made = Linear8bitLt(layer.in_features, layer.out_features, layer.bias is not None, has_fp16_weights=False, threshold=_OUTLIERS)
    made.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    return _with_bias(made, layer)


def _with_bias(made: Any, layer: torch.nn.Linear) -> Any:
    if layer.bias is not None:
        made.bias = torch.nn.Parameter(layer.bias.data, requires_grad=False)
    return made
