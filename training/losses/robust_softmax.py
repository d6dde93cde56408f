"""Softmax that is robust to the label distribution (KL-DRO)."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import better, differences, mean, prepared


def robust_softmax(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0, margin: float = 0.0) -> Tensor:
    """[lists]: for each passage i that has worse ones, t · log mean exp((s_j - s_i + c_ij) / t) over j in {i} and those worse; averaged.

    That is the largest expected margin violation over distributions of rivals, less t times their KL divergence from the
    uniform one: t near 0 sees the hardest rival only, a large t all alike. c_ij is `margin` times the difference of the grades.
    Zhu, Ying and Yang, Label Distributionally Robust Losses for Multi-class Classification, ICML 2023, arXiv 2112.14869.
    """
    scores, targets = prepared(scores, targets, mask)
    lower = better(targets, mask)
    rivals = lower | torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    violation = (-differences(scores) + margin * differences(targets)) / temperature
    most = torch.logsumexp(violation.masked_fill(~rivals, -torch.inf), -1) - rivals.sum(-1).to(scores.dtype).log()
    return mean(temperature * most, lower.any(-1))
