"""What λ means: how hard a ranking loss pulls at equal logits, beside FIRST's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from firstrank.training.losses import Loss
from firstrank.training.losses.weighted_ranknet import weighted_ranknet

_NOISE = 1e-3
"""of the logits: at exactly equal ones `lambdarank` sees no place that a swap would change"""
_DRAWS = 8
"""of that noise, and of what a loss draws itself"""


def unit_of(loss: Loss, lists: Iterable[Tensor]) -> float:
    """What a loss is multiplied by so that at equal logits it pulls as hard on these lists as `weighted_ranknet`, whose λ = 10 is FIRST's.

    Each list is [passages], its targets. A pull is the length of the gradient by a list's logits, the mean over lists. 1 where nothing
    pulls, since no list says that anything is better than anything else.
    """
    found = list(lists)
    own, first = _pull(loss, found), _pull(weighted_ranknet, found)
    return first / own if own > 0 else 1.0


def _pull(loss: Loss, lists: list[Tensor]) -> float:
    targets = pad_sequence([one.double() for one in lists], batch_first=True)
    mask = pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in lists], batch_first=True)
    slopes = torch.zeros_like(targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(_DRAWS):
            scores = (_NOISE * torch.randn(targets.shape, dtype=torch.float64)).requires_grad_()
            for rows in torch.arange(len(lists)).split(2):  # `wasserstein` gives a batch's value to each of its lists
                [slope] = torch.autograd.grad(loss(scores[rows], targets[rows], mask[rows]).sum(), scores)
                slopes += slope
    return float(slopes.norm(dim=-1).mean()) / _DRAWS
