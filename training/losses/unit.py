"""What λ means: how hard each loss pulls at equal logits."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses import Loss

LISTS, PASSAGES = 64, 20
_NOISE = 1e-3
"""of the logits: at exactly equal ones `lambdarank` sees no place that a swap would change"""


def measured(loss: Loss) -> float:
    """The length of a loss's gradient by the logits of a list, at logits that are all but equal: the mean over lists of 20 passages with
    grades 0 to 3, five of each."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.stack([(torch.randperm(PASSAGES, generator=generator) % 4).double() for _ in range(LISTS)])
    scores = (_NOISE * torch.randn(LISTS, PASSAGES, generator=generator, dtype=torch.float64)).requires_grad_()
    found: list[Tensor] = []
    for rows in torch.arange(LISTS).split(2):  # `wasserstein` gives a batch's value to each of its lists
        value = loss(scores[rows], targets[rows], torch.ones(len(rows), PASSAGES, dtype=torch.bool))
        [slope] = torch.autograd.grad(value.sum(), scores)
        found.append(slope[rows].norm(dim=-1))
    return float(torch.cat(found).mean())
