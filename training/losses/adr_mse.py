"""ADR-MSE: squared error of the rank, discounted."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import mean, prepared, ranks, soft_ranks, tells


def adr_mse(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: the mean over passages of (rank - soft rank)² / log2(rank + 1), the rank being the teacher's.

    Schlatt et al., Rank-DistiLLM: Closing the Effectiveness Gap Between Cross-Encoders and LLMs, arXiv 2405.07920.
    """
    scores, targets = prepared(scores, targets, mask)
    rank = ranks(targets, mask)
    error = (rank - soft_ranks(scores, mask, temperature)).square() / torch.log2(rank + 1.0)
    return mean(error, mask) * tells(targets, mask)
