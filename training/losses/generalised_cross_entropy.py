"""Generalised cross-entropy: softmax that bears wrong grades."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import against_worse, mean, prepared


def generalised_cross_entropy(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0, q: float = 0.7) -> Tensor:
    """[lists]: (1 - p^q) / q, p being the probability of a best passage against all that are worse; several bests are averaged.

    q towards 0 is `softmax`'s cross-entropy, q = 1 the mean absolute error, which noise cannot pull far.
    Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, NeurIPS 2018, arXiv 1805.07836.
    """
    scores, targets = prepared(scores, targets, mask)
    best = mask & (targets == targets.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True))
    return mean(-torch.expm1(-q * against_worse(scores / temperature, targets, mask)) / q, best)
