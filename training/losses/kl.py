"""Kullback-Leibler divergence from a teacher's scores."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import prepared, tells


def kl(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: temperature² · KL(softmax(targets / temperature) ‖ softmax(scores / temperature)).

    For grades that are a teacher's scores (`loss.rank.targets: scores`): 0 where the student's are the same up to an offset.
    Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    scores, targets = prepared(scores, targets, mask)
    wanted, found = (torch.log_softmax((one / temperature).masked_fill(~mask, -torch.inf), -1) for one in (targets, scores))
    apart = wanted.exp() * (wanted - found).masked_fill(~mask, 0.0)
    return temperature**2 * apart.sum(-1) * tells(targets, mask)
