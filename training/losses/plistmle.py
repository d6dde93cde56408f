"""ListMLE that minds the place: p-ListMLE."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import against_worse, prepared, ranks


def plistmle(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: ListMLE's steps, the one at rank i weighted by 2^(n - i) - 1, in shares of the weights' sum.

    Shares, because the raw weights run to half a million at n = 20. Lan et al., Position-Aware ListMLE: A Sequential
    Learning Process for Ranking, UAI 2014.
    """
    scores, targets = prepared(scores, targets, mask)
    steps = mask.sum(-1, keepdim=True) - ranks(targets, mask)
    weight = (torch.exp2(steps) - 1.0).masked_fill(~mask, 0.0)
    share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
    return (share * against_worse(scores, targets, mask)).sum(-1)
