"""ListNet."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import prepared, tells


def listnet(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: cross-entropy between the top-one probabilities of the grades, softmax(targets / temperature), and of the scores.

    Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007.
    """
    scores, targets = prepared(scores, targets, mask)
    wanted = torch.softmax((targets / temperature).masked_fill(~mask, -torch.inf), -1)
    found = torch.log_softmax(scores.masked_fill(~mask, -torch.inf), -1)
    return -(wanted * found.masked_fill(~mask, 0.0)).sum(-1) * tells(targets, mask)
