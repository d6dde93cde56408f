"""MarginMSE."""

from __future__ import annotations

from torch import Tensor

from firstrank.training.losses.lists import better, differences, mean, prepared


def margin_mse(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: the mean of ((s_i - s_j) - (y_i - y_j))² over pairs in which the teacher's score y_i is above y_j.

    Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation, arXiv 2010.02666.
    """
    scores, targets = prepared(scores, targets, mask)
    return mean((differences(scores) - differences(targets)).square(), better(targets, mask))
