"""How a model runs through transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """`--backend transformers`: in this process, on a CPU or a GPU."""

    device: Device = "auto"
    dtype: str | None = None
    """None or "auto": on a CPU bf16 where it has units for it, else fp32; elsewhere what the model's YAML says, else bf16"""
    threads: int | None = None
    """None: as many as the caller has"""
    lanes: int = 1
    """windows that a CPU scores at once, each on its share of the threads: more windows a second, and longer for a lone one"""
    batch_tokens: int = 32_768
    """prompt tokens of one batch, at most; fewer where a GPU's memory does not hold them; a CPU takes windows one by one"""
    constrained: bool = True
    """for models that generate: exactly one complete ordering, and stop"""
