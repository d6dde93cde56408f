"""Softmax cross-entropy on the best passage."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import against_worse, mean, prepared


def softmax(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: minus the log-probability of the best passage among all; several bests are averaged, each against the rest.

    The order below the best does not matter. Where only the first token of the answer is read this is the LM loss, cut
    to the labels. Bruch et al., An Analysis of the Softmax Cost Function for Learning to Rank, ICTIR 2019.
    """
    scores, targets = prepared(scores, targets, mask)
    best = mask & (targets == targets.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True))
    return mean(against_worse(scores, targets, mask), best)
