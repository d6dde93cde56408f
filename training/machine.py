"""What this machine can do for a training: its device, its bf16 units."""

from __future__ import annotations

import logging
import platform

from firstrank.training.sections import Tuning

_log = logging.getLogger(__name__)


def on_cpu() -> bool:
    """Said outright, because accelerate joins processes on a CPU (gloo) only when it is told of the CPU."""
    import torch

    return not torch.accelerator.is_available()


def arithmetic(tuning: Tuning) -> str:
    """`float32`, `mixed` or `bfloat16`: what `tuning.precision` means here.

    LoRA's `bfloat16` is `mixed`: weights that rest are in bf16 either way, and the adapter in fp32.
    """
    if tuning.precision == "bfloat16":
        return "mixed" if tuning.method == "lora" else "bfloat16"
    if tuning.precision == "float32":
        return "float32"
    if tuning.precision == "auto" and tuning.method != "lora" and on_cpu():  # weights that move would be cast anew at each step
        return "float32"
    if _has_bf16():
        return "mixed"
    if tuning.precision == "mixed":
        _log.info("tuning.precision: mixed: this CPU has no bf16 units, so fp32 arithmetic is used")
    return "float32"


def _has_bf16() -> bool:
    """Whether bf16 products pay. A CPU without units for them emulates them, some 3.5 (AVX-512) or 15 times (AVX2) slower than fp32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _cpu_has_bf16() if on_cpu() else True


def _cpu_has_bf16() -> bool:
    import torch

    if platform.machine() in {"x86_64", "AMD64"}:  # where oneDNN calls bf16 supported from AVX-512 on, emulated as it may be
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def prepare(threads: int | None) -> None:
    """Threads of a CPU, TF32 on CUDA, and freed memory kept."""
    import torch

    from firstrank.reranker.models.memory import keep_freed_memory

    if threads is not None:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    keep_freed_memory()
