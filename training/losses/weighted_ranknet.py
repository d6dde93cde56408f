"""RankNet, weighted towards the head of the list: FIRST's ranking loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from firstrank.training.losses.lists import better, differences, mean, prepared, ranks


def weighted_ranknet(scores: Tensor, targets: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """[lists]: RankNet's pairs, each weighted by 1 / (i + j), the ranks of its two passages in the target ordering.

    The mean over the pairs, not their sum: the published λ = 10 belongs to the mean. Passages that tie share a rank.
    Reddy et al., FIRST: Faster Improved Listwise Reranking with Single Token Decoding, arXiv 2406.15657.
    """
    scores, targets = prepared(scores, targets, mask)
    rank = ranks(targets, mask)
    weight = 1.0 / (rank.unsqueeze(-1) + rank.unsqueeze(-2))
    return mean(weight * softplus(-differences(scores) / temperature), better(targets, mask))
