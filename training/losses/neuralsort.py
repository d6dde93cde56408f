"""NeuralSort."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import better, differences, prepared, tells, ties


def neuralsort(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: cross-entropy between the target permutation and the relaxed one that sorts the scores, averaged over places.

    Row i of the relaxed permutation is softmax(((n + 1 - 2i) s - Σ_j |s - s_j|) / temperature). Passages that tie share their places.
    Grover et al., Stochastic Optimization of Sorting Networks via Continuous Relaxations, ICLR 2019, arXiv 1903.08850.
    """
    scores, targets = prepared(scores, targets, mask)
    n = mask.sum(-1, keepdim=True)
    place = torch.arange(1, scores.shape[-1] + 1, device=scores.device)
    spread = (differences(scores).abs() * mask.unsqueeze(-2)).sum(-1)
    slope = (n + 1 - 2 * place).to(scores.dtype)
    logits = (slope.unsqueeze(-1) * scores.unsqueeze(-2) - spread.unsqueeze(-2)) / temperature
    found = torch.log_softmax(logits.masked_fill(~mask.unsqueeze(-2), -torch.inf), -1).masked_fill(~mask.unsqueeze(-2), 0.0)
    wanted = target_permutation(targets, mask)
    return -(wanted * found).sum((-1, -2)) / n.squeeze(-1).clamp_min(1) * tells(targets, mask)


def target_permutation(targets: Tensor, mask: Tensor) -> Tensor:
    """[lists, place, passage]: 1 where the passage belongs; passages that tie share their places evenly."""
    above = better(targets, mask).sum(-2)
    tied = ties(targets, mask)
    place = torch.arange(targets.shape[-1], device=targets.device).unsqueeze(-1)
    within = (place >= above.unsqueeze(-2)) & (place < (above + tied).unsqueeze(-2)) & mask.unsqueeze(-2)
    return within / tied.clamp_min(1).unsqueeze(-2).to(targets.dtype)
