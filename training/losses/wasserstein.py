"""2-Wasserstein distance between scores and graded labels."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import prepared, tells


def wasserstein(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: the squared 2-Wasserstein distance between the batch's scores and its grades, each taken as a Gaussian.

    Coordinates are the passages in the order of their grades; the lists are the sample. |μ_s - μ_y|² + Tr(C_s + C_y - 2 (C_s C_y)^½),
    over the number of passages; one list alone has no covariance, and the mean squared error is left. A common offset of label
    logits means nothing, so both are centred in each list. The batch has one value, which stands for each of its lists.
    Esfandiarpoor et al., Beyond Contrastive Learning, arXiv 2503.23239.
    """
    scores, targets = prepared(scores, targets, mask)
    told = tells(targets, mask)
    mask = mask & told.unsqueeze(-1)
    order = targets.masked_fill(~mask, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    there = mask.gather(-1, order)
    found, wanted = (_centred(values.gather(-1, order), there) for values in (scores, targets))
    distance = _distance(found, wanted, there) / there.sum(-1).amax().clamp_min(1)
    return distance * told


def _distance(found: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """A place that a list lacks counts as that place's mean."""
    lists = there.sum(0).clamp_min(1)
    means = [values.sum(0) / lists for values in (found, wanted)]
    spreads = [(values - mu) * there for values, mu in zip((found, wanted), means, strict=True)]
    freedom = max(int(there.any(-1).sum()) - 1, 1)
    traces: Tensor = spreads[0].square().sum() + spreads[1].square().sum()
    shared: Tensor = torch.linalg.svdvals(spreads[0] @ spreads[1].T).sum()
    return (means[0] - means[1]).square().sum() + (traces - 2.0 * shared) / freedom


def _centred(values: Tensor, there: Tensor) -> Tensor:
    middle = (values * there).sum(-1, keepdim=True) / there.sum(-1, keepdim=True).clamp_min(1)
    return (values - middle) * there
