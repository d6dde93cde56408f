"""A differentiable sorting network: odd-even transposition with soft swaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firstrank.training.losses.lists import by_target, prepared, tells
from firstrank.training.losses.neuralsort import target_permutation

_LEAST = 1e-30


def odd_even_network(scores: Tensor, targets: Tensor, mask: Tensor, *, steepness: float = 1.0) -> Tensor:
    """[lists]: cross-entropy between the target permutation and that of an odd-even transposition network whose swaps are soft.

    A swap happens with probability ½ - arctan(steepness · difference) / π (Cauchy's distribution: its heavy tail keeps a gradient
    for scores that are far apart). A list of n has n layers. The passages enter in the target's order, those that tie by their
    scores, so that no order of the prompt changes the value. Petersen et al., Monotonic Differentiable Sorting Networks, ICLR 2022,
    arXiv 2203.09630.
    """
    scores, targets = prepared(scores, targets, mask)
    order = by_target(scores, targets, mask)
    scores, targets, mask = (one.gather(-1, order) for one in (scores, targets, mask))
    found = _sorting(scores, mask, steepness)
    missed = target_permutation(targets, mask) * found.clamp_min(_LEAST).log()
    return -missed.sum((-1, -2)) / mask.sum(-1).clamp_min(1) * tells(targets, mask)


def _sorting(scores: Tensor, mask: Tensor, steepness: float) -> Tensor:
    """[lists, place, passage]: the probability that the passage comes to the place, highest score first; padding stands last."""
    n = scores.shape[-1]
    sizes = mask.sum(-1, keepdim=True)
    found = torch.eye(n, dtype=scores.dtype, device=scores.device).expand(len(scores), -1, -1)
    for layer in range(n):
        first = torch.arange(layer % 2, n - 1, 2, device=scores.device)
        a, b = scores[:, first], scores[:, first + 1]
        there = (first + 1 < sizes) & (layer < sizes)
        swap = (0.5 - torch.atan(steepness * (a - b)) / math.pi) * there
        scores = _swapped(scores, first, a, b, swap)
        found = _swapped(found, first, found[:, first], found[:, first + 1], swap.unsqueeze(-1))
    return found


def _swapped(rows: Tensor, first: Tensor, a: Tensor, b: Tensor, swap: Tensor) -> Tensor:
    """`rows` [lists, n, …] with the neighbours at `first` and after it mixed: each becomes the other with probability `swap`."""
    change = swap * (b - a)
    return rows.index_copy(1, first, a + change).index_copy(1, first + 1, b - change)
