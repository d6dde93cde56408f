"""ApproxNDCG."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import prepared, soft_ranks, tells


def approx_ndcg(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: 1 - nDCG with soft ranks, gains 2^grade - 1; 0 in a list that tells nothing.

    Qin, Liu and Li, A General Approximation Framework for Direct Optimization of Information Retrieval Measures, 2010;
    Bruch et al., Revisiting Approximate Metric Optimization in the Age of Deep Neural Networks, SIGIR 2019.
    """
    scores, targets = prepared(scores, targets, mask)
    gain = (torch.exp2(targets) - 1.0).masked_fill(~mask, 0.0)
    ideal = _ideal(gain)
    dcg = (gain / torch.log2(1.0 + soft_ranks(scores, mask, temperature))).sum(-1)
    return torch.where((ideal > 0) & tells(targets, mask), 1.0 - dcg / ideal.clamp_min(1e-12), dcg * 0.0)


def _ideal(gain: Tensor) -> Tensor:
    place = torch.arange(1, gain.shape[-1] + 1, device=gain.device, dtype=gain.dtype)
    return (gain.sort(-1, descending=True).values / torch.log2(1.0 + place)).sum(-1)
