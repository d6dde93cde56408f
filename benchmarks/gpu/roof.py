"""What the device's matrix products reach, by kind of numbers: the roof that other figures are shares of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from benchmarks.gpu.clock import seconds_of
from benchmarks.gpu.plan import Plan, Row


def rows(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """The best of five products of two square matrices."""
    size = plan.product
    for dtype in ("float32", "float16", "bfloat16"):
        one = torch.randn(size, size, device=plan.device, dtype=getattr(torch, dtype))
        yield _row(dtype, size, lambda one=one: one @ one)
    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9):
        one = torch.randn(size, size, device=plan.device).to(torch.float8_e4m3fn)
        scale = torch.ones((), device=plan.device)
        yield _row("fp8", size, lambda: torch._scaled_mm(one, one.t(), scale, scale, out_dtype=torch.bfloat16))
    else:
        yield {"numbers": "fp8", "size": size, "Tflop/s": "not measured: this device has no units for it"}


def _row(dtype: str, size: int, work: Callable[[], object]) -> Row:
    return {"numbers": dtype, "size": size, "Tflop/s": 2.0 * size**3 / seconds_of(work) / 1e12}
