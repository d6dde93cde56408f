"""Fidelity loss over pairs: FRank's."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import better, differences, mean, prepared

_LEAST = 1e-12


def fidelity(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0, softness: float = 0.0) -> Tensor:
    """[lists]: the mean of 1 - √(P* P) - √((1 - P*)(1 - P)) over pairs in which passage i is better than j.

    P = sigmoid((s_i - s_j) / temperature); P* is 1, or with `softness` sigmoid((y_i - y_j) / softness): grades one apart are then
    less sure than grades three apart. Bounded by 1, so that a few wrong judgments cannot rule the sum.
    Tsai et al., FRank: A Ranking Method with Fidelity Loss, SIGIR 2007.
    """
    scores, targets = prepared(scores, targets, mask)
    gap = differences(scores) / temperature
    found, missed = (torch.sigmoid(side).clamp_min(_LEAST) for side in (gap, -gap))
    if softness:
        aim = differences(targets) / softness
        kept = (torch.sigmoid(aim) * found).sqrt() + (torch.sigmoid(-aim) * missed).sqrt()
    else:
        kept = found.sqrt()
    return mean(1.0 - kept, better(targets, mask))
