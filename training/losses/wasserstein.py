"""2-Wasserstein distance between the distributions of scores and graded labels."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import by_target, prepared, tells


def wasserstein(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: the squared 2-Wasserstein distance between softmax(scores / temperature) and softmax(grades) of a batch's lists.

    Each is taken as a Gaussian over the batch: |μ_s - μ_y|² + Tr(C_s + C_y - 2 (C_s C_y)^½), covariances over the lists less one.
    Coordinates are the passages in the order of their grades, those that tie by their scores. The batch has one value, which stands
    for each of its lists; a batch of one list has no covariance, so recipes need `batch.windows` of 2 or more.
    Esfandiarpoor et al., Beyond Contrastive Learning, arXiv 2503.23239.
    """
    scores, targets = prepared(scores, targets, mask)
    told = tells(targets, mask)
    order = by_target(scores, targets, mask)
    there = (mask & told.unsqueeze(-1)).gather(-1, order)
    found, wanted = (_shares(values.gather(-1, order), there) for values in (scores / temperature, targets))
    return _distance(found[told], wanted[told]) * told


def _shares(values: Tensor, there: Tensor) -> Tensor:
    """Softmax within each list; 0 where there is no passage."""
    return torch.softmax(values.masked_fill(~there, -torch.inf), -1).masked_fill(~there, 0.0)


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    if not len(found):
        return found.sum()
    freedom = max(len(found) - 1, 1)
    means = found.mean(0), wanted.mean(0)
    spreads = found - means[0], wanted - means[1]
    traces: Tensor = spreads[0].square().sum() + spreads[1].square().sum()
    shared: Tensor = torch.linalg.svdvals(spreads[0] @ spreads[1].T).sum()
    return (means[0] - means[1]).square().sum() + (traces - 2.0 * shared) / freedom
