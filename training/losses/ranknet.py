"""RankNet."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from firstrank.training.losses.lists import better, differences, mean, prepared


def ranknet(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: the mean of log(1 + exp((s_j - s_i) / temperature)) over pairs in which passage i is better than j.

    Burges et al., Learning to Rank using Gradient Descent, ICML 2005.
    """
    scores, targets = prepared(scores, targets, mask)
    return mean(softplus(-differences(scores) / temperature), better(targets, mask))
