"""What the losses share: padded lists as tensors, their pairs, their ranks.

Scores, targets and mask are [lists, passages]; a target is a grade, higher is better, equal ones tie; the mask is false where
a list is padded. Nothing here sorts by scores to make a target.
"""

from __future__ import annotations

import torch
from torch import Tensor


def prepared(scores: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scores in fp32 at least (bf16 cannot tell neighbours apart), targets in the same type; 0 where padded."""
    wide = torch.promote_types(scores.dtype, torch.float32)
    return scores.to(wide).masked_fill(~mask, 0.0), targets.to(wide).masked_fill(~mask, 0.0)


def better(targets: Tensor, mask: Tensor) -> Tensor:
    """[lists, i, j]: whether passage i ought to stand above passage j."""
    return (targets.unsqueeze(-1) > targets.unsqueeze(-2)) & mask.unsqueeze(-1) & mask.unsqueeze(-2)


def tells(targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: whether anything in the list is better than anything else."""
    return better(targets, mask).flatten(1).any(-1)


def differences(scores: Tensor) -> Tensor:
    """[lists, i, j]: by how much passage i scores higher than passage j."""
    return scores.unsqueeze(-1) - scores.unsqueeze(-2)


def ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Rank from 1, the highest value first; passages that tie share the mean of their ranks. 1 where padded."""
    found = better(values, mask).sum(-2) + (ties(values, mask) + 1) / 2
    return found.to(values.dtype).masked_fill(~mask, 1.0)


def ties(values: Tensor, mask: Tensor) -> Tensor:
    """How many passages of its list have the value of each, itself included."""
    return ((values.unsqueeze(-1) == values.unsqueeze(-2)) & mask.unsqueeze(-1)).sum(-2)


def soft_ranks(scores: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Ranks from 1 that can be derived: 1 + the sum over other passages j of sigmoid((s_j - s_i) / temperature)."""
    others = mask.unsqueeze(-2) & ~torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    above = torch.sigmoid(-differences(scores) / temperature)
    return 1.0 + (above * others).sum(-1)


def mean(values: Tensor, where: Tensor) -> Tensor:
    """[lists]: the mean of the values that count in each list; 0 in a list where none does."""
    dims = tuple(range(1, values.dim()))
    return (values * where).sum(dims) / where.sum(dims).clamp_min(1)


def against_worse(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists, passages]: minus the log-probability of choosing passage i among itself and all that are worse.

    0 for the worst of a list, and where padded. Over a list without ties this is Plackett and Luce's chain.
    """
    lower = better(targets, mask)
    rivals = lower | torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    most = scores.unsqueeze(-2).expand(rivals.shape).masked_fill(~rivals, -torch.inf)
    return (torch.logsumexp(most, -1) - scores) * lower.any(-1)


def spread_evenly(scores: Tensor, lower: Tensor) -> Tensor:
    """[lists, passages]: the mean of minus the log-probabilities of passage i and all that are worse, each chosen among them."""
    rivals = lower | torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    most = scores.unsqueeze(-2).expand(rivals.shape)
    each = torch.logsumexp(most.masked_fill(~rivals, -torch.inf), -1) - (most * rivals).sum(-1) / rivals.sum(-1)
    return each * lower.any(-1)


def by_target(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists, passages]: indices by grade, the best first, passages that tie by their scores; padding last.

    An order for what reads passages one after another, which passages that tie cannot change by changing places.
    """
    within = scores.detach().argsort(dim=-1, descending=True, stable=True)
    ordered = targets.masked_fill(~mask, -torch.inf).gather(-1, within)
    return within.gather(-1, ordered.argsort(dim=-1, descending=True, stable=True))
