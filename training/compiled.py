"""The parts of a network that only move memory, each made one pass over it by torch.compile: norms, and gates of feed-forward layers.

The large products gain nothing by it, and attention over windows would be compiled anew for each number of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from firstrank.reranker.errors import InputError


def compile_parts(network: Any) -> None:
    """Raises InputError where there is no C++ compiler to do it with."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise InputError("tuning.compile: there is no C++ compiler: install g++, or leave it out") from error
    for module in network.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.compile(dynamic=True)
        elif all(hasattr(module, part) for part in ("gate_proj", "up_proj", "down_proj", "act_fn")):
            module.forward = _Gated(module)


class _Gated:
    """A feed-forward layer whose activation and product are one."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._gated = torch.compile(lambda gate, up: module.act_fn(gate) * up, dynamic=True)

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = self._module.down_proj(self._gated(self._module.gate_proj(x), self._module.up_proj(x)))
        return found
