"""How many tokens a pass may have: what was asked for, or what a GPU's free memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstrank.reranker.scorers.transformers.reader import Prompt, Reader
from firstrank.reranker.scorers.transformers.segments import Prefix

if TYPE_CHECKING:
    import torch

_SAMPLE = 2048
"""tokens of the pass whose memory is measured"""
_SHARE = 0.8
"""of free memory; the rest is for what kernels and other batches want"""


def tokens_that_fit(read: Reader, device: torch.device, most: int) -> int:
    """At most `most`. Reads once, to see what a token's states take; elsewhere than on an NVIDIA GPU, `most` itself."""
    import torch

    if device.type != "cuda":
        return most
    ids = [1 + place % 32 for place in range(min(_SAMPLE, most))]
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.inference_mode():
        read([Prompt(Prefix(()), (ids,), 1)])
    each = (torch.cuda.max_memory_allocated(device) - before) / len(ids)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(len(ids), min(most, int(_SHARE * free / max(each, 1.0))))
