"""Softmax cross-entropy on the best passage."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import against_worse, better, mean, prepared, spread_evenly


def softmax(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """[lists]: minus the log-probability of the best passage among all; several bests are averaged, each against the rest.

    The order below the best does not matter. Where only the first token of the answer is read this is the LM loss, cut
    to the labels. `smoothing` gives that share of the target to all that compete, evenly (Szegedy et al., CVPR 2016), which
    guards against wrong grades. Bruch et al., An Analysis of the Softmax Cost Function for Learning to Rank, ICTIR 2019.
    """
    scores, targets = prepared(scores, targets, mask)
    scores = scores / temperature
    best = mask & (targets == targets.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True))
    right = against_worse(scores, targets, mask)
    if smoothing:
        right = (1.0 - smoothing) * right + smoothing * spread_evenly(scores, better(targets, mask))
    return mean(right, best)
