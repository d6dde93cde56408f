"""Self-adjusting Dice loss on the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import mean, prepared, tells


def dice(scores: Tensor, targets: Tensor, mask: Tensor, *, focus: float = 0.0, smoothing: float = 0.5) -> Tensor:
    """[lists]: the mean over passages of 1 - (2 w y + γ) / (w + y + γ), where w = (1 - p)^focus · p and γ = smoothing.

    p is a passage's probability under the softmax of its list; y is 1 for the best passages, 0 for the others: a few bests are not
    outweighed by many others. focus = 1 is the paper's self-adjusting form, in which passages lose weight as they become sure; so does a
    wrong one that is sure to be the best, which then costs nothing.
    Li et al., Dice Loss for Data-imbalanced NLP Tasks, ACL 2020, arXiv 1911.02855.
    """
    scores, targets = prepared(scores, targets, mask)
    p = torch.softmax(scores.masked_fill(~mask, -torch.inf), -1)
    y = (targets == targets.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True)).to(p.dtype)
    weighed = (1.0 - p) ** focus * p
    each = 1.0 - (2.0 * weighed * y + smoothing) / (weighed + y + smoothing)
    return mean(each, mask) * tells(targets, mask)
