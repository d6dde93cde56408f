"""Which numbers a network computes in: what was asked for, or the fastest that the processor has units for."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal

from firstrank.reranker.errors import ModelError

if TYPE_CHECKING:
    import torch

Arithmetic = Literal["float32", "bfloat16", "float16", "int8", "fp8"]

KNOWN: tuple[Arithmetic, ...] = ("float32", "bfloat16", "float16", "int8", "fp8")
_UNITS = {"avx512_vnni": "VNNI", "avx_vnni": "VNNI", "amx_int8": "AMX int8", "avx512_bf16": "AVX-512 bf16", "amx_bf16": "AMX bf16"}
_X86 = ("x86_64", "AMD64")
NARROW = 256
"""hidden units below which products are too small for int8 or bf16 to be any faster"""


def units() -> tuple[str, ...]:
    """What this processor has for products of few bits, by the names of torch's list of capabilities."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        there = dict(torch.cpu.get_capabilities())
    else:  # an older torch
        there = {"avx512_vnni": torch.cpu._is_vnni_supported(), "avx512_bf16": torch.cpu._is_avx512_bf16_supported()}
        there["amx_bf16"] = torch.cpu._is_amx_tile_supported()
    return tuple(name for name in _UNITS if there.get(name))


def described(found: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(_UNITS[name] for name in found)) or "none"


def best_for(found: tuple[str, ...]) -> Arithmetic:
    """The fastest safe arithmetic for a processor with these units.

    int8 is for those who ask: it was no faster than bf16, and moved a listwise model's order (benchmarks/log/cpu.md).
    """
    return "bfloat16" if any(name in found for name in ("avx512_bf16", "amx_bf16")) else "float32"


def chosen(asked: str | None, of_model: str | None, *, on_cpu: bool, width: int | None = None) -> Arithmetic:
    """What was asked for; else on a CPU the best that it has units for, and elsewhere the model's own type, or bf16.

    `width` is the network's hidden size; a narrow one stays in fp32. Raises ModelError for an unknown name, for int8 elsewhere than on
    an x86 CPU, and for fp8 on a CPU.
    """
    for what, name in {"--dtype": asked, "dtype in the model's settings": of_model}.items():
        if name not in (None, "auto", *KNOWN):
            raise ModelError(f"{what} {name}: unknown; use auto, {', '.join(KNOWN)}")
    if asked == "int8" and not on_cpu:
        raise ModelError("--dtype int8: works on CPUs only; on a GPU use bfloat16, float16 or fp8")
    if asked == "fp8" and on_cpu:
        raise ModelError("--dtype fp8: works on GPUs only; on a CPU use float32, bfloat16 or int8")
    if asked == "int8" and platform.machine() not in _X86:
        raise ModelError(f"--dtype int8: it needs an x86 processor, and this one is {platform.machine()}; use float32 or bfloat16")
    for known in KNOWN:
        if asked == known:
            return known
    if on_cpu:
        return best_for(units()) if width is None or width >= NARROW else "float32"
    return next((known for known in KNOWN if known == of_model and known != "int8"), "bfloat16")


def dtype_of(arithmetic: str) -> torch.dtype:
    """What weights are loaded as and activations are kept in; int8's are fp32, fp8's bf16."""
    import torch

    found: torch.dtype = getattr(torch, {"int8": "float32", "fp8": "bfloat16"}.get(arithmetic, arithmetic))
    return found
