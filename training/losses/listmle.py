"""ListMLE."""

from __future__ import annotations

from torch import Tensor

from firstrank.training.losses.lists import against_worse, prepared


def listmle(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: minus the log-likelihood of the target ordering under Plackett and Luce's model.

    Each passage is chosen among itself and all that are worse, so ties compete with what is below them, not with each other.
    Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008.
    """
    scores, targets = prepared(scores, targets, mask)
    return against_worse(scores, targets, mask).sum(-1)
