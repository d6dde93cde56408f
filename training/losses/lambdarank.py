"""LambdaRank, as LiPO-λ writes it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from firstrank.training.losses.lists import better, differences, prepared, ranks


def lambdarank(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: RankNet's pairs, each weighted by what swapping its passages would change in DCG, summed.

    The weight is |G_i - G_j| · |1/D_i - 1/D_j| with G = 2^grade - 1 and D = log2(1 + rank by the present scores).
    Liu et al., LiPO: Listwise Preference Optimization through Learning-to-Rank, arXiv 2402.01878; Burges, MSR-TR-2010-82.
    """
    scores, targets = prepared(scores, targets, mask)
    gain = torch.exp2(targets) - 1.0
    discount = 1.0 / torch.log2(1.0 + ranks(scores.detach(), mask))
    weight = differences(gain).abs() * differences(discount).abs()
    return (weight * softplus(-differences(scores)) * better(targets, mask)).sum((-1, -2))
