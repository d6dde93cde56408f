"""A differentiable sorting network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firstrank.training.losses.lists import prepared, tells
from firstrank.training.losses.neuralsort import target_permutation

_LEAST = 1e-30


def sorting_network(scores: Tensor, targets: Tensor, mask: Tensor, *, steepness: float = 1.0) -> Tensor:
    """[lists]: cross-entropy between the target permutation and that of an odd-even sorting network whose swaps are soft.

    A swap happens with probability ½ + arctan(steepness · difference) / π (Cauchy's distribution: its heavy tail keeps a gradient
    for scores that are far apart). The network reads the passages in their order, so that order may change the value a little.
    Petersen et al., Monotonic Differentiable Sorting Networks, ICLR 2022, arXiv 2203.09630; as an objective over ordered groups:
    Shvetsova et al., Learning by Sorting, ICCV 2023, arXiv 2301.02009.
    """
    scores, targets = prepared(scores, targets, mask)
    return torch.stack([_one(row[here], target[here], steepness) for row, target, here in zip(scores, targets, mask, strict=True)])


def _one(scores: Tensor, targets: Tensor, steepness: float) -> Tensor:
    whole = torch.ones_like(targets, dtype=torch.bool).unsqueeze(0)
    if not tells(targets.unsqueeze(0), whole):
        return scores.sum() * 0.0
    wanted = target_permutation(targets.unsqueeze(0), whole)[0]
    return -(wanted * _sorting(scores, steepness).clamp_min(_LEAST).log()).sum() / len(scores)


def _sorting(scores: Tensor, steepness: float) -> Tensor:
    """[place, passage]: the probability that the passage comes to the place, highest score first."""
    n = len(scores)
    permutation = torch.eye(n, dtype=scores.dtype, device=scores.device)
    for layer in range(n):
        first = torch.arange(layer % 2, n - 1, 2, device=scores.device)
        keep = 0.5 + torch.atan(steepness * (scores[first] - scores[first + 1])) / math.pi
        swaps = torch.eye(n, dtype=scores.dtype, device=scores.device)
        swaps = swaps.index_put((first, first), keep).index_put((first + 1, first + 1), keep)
        swaps = swaps.index_put((first, first + 1), 1 - keep).index_put((first + 1, first), 1 - keep)
        scores, permutation = swaps @ scores, swaps @ permutation
    return permutation
