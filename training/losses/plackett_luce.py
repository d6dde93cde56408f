"""Policy gradient on rankings that the label logits draw."""

from __future__ import annotations

import torch
from torch import Tensor

from firstrank.training.losses.lists import by_target, prepared, tells


def plackett_luce(
    scores: Tensor, targets: Tensor, mask: Tensor, *, samples: int = 16, reward: str = "ndcg", cut: int = 10, temperature: float = 1.0
) -> Tensor:
    """[lists]: 1 - the mean reward of rankings drawn from Plackett and Luce's model of scores / temperature.

    One forward pass gives any number of rankings: each of `samples` is drawn by Gumbel's trick, and gets nDCG@cut or the reciprocal rank
    of the first best passage. The gradient is REINFORCE's, every ranking against the mean of the others (Kool et al., 2019). Draws come
    from torch's generator. Oosterhuis, Computationally Efficient Optimization of Plackett-Luce Ranking Models, SIGIR 2021.
    """
    scores, targets = prepared(scores, targets, mask)
    order = by_target(scores, targets, mask)
    scores, targets, mask = (one.gather(-1, order) for one in (scores / temperature, targets, mask))
    drawn = _drawn(scores.detach(), mask, samples)
    earned = _rewards(targets, mask, drawn, reward, cut)
    advantage = (earned - earned.mean(1, keepdim=True)) * (samples / (samples - 1))
    chance = _log_probability(scores, mask, drawn)
    pull = -(advantage * chance).mean(1)
    return (1.0 - earned.mean(1) + pull - pull.detach()) * tells(targets, mask)


def _drawn(scores: Tensor, mask: Tensor, samples: int) -> Tensor:
    """[lists, samples, place]: which passage stands there; padding last."""
    uniform = torch.rand(len(scores), samples, scores.shape[-1], device=scores.device, dtype=scores.dtype).clamp_min(1e-12)
    noisy = scores.unsqueeze(1) - (-uniform.log()).log()
    return noisy.masked_fill(~mask.unsqueeze(1), -torch.inf).argsort(-1, descending=True)


def _rewards(targets: Tensor, mask: Tensor, drawn: Tensor, reward: str, cut: int) -> Tensor:
    """[lists, samples], from 0 to 1."""
    place = torch.arange(1, targets.shape[-1] + 1, device=targets.device, dtype=targets.dtype)
    if reward == "rr":
        best = mask & (targets == targets.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True))
        return (best.unsqueeze(1).expand(drawn.shape).gather(-1, drawn) / place).amax(-1)
    weight = torch.where(place <= cut, 1.0 / torch.log2(1.0 + place), torch.zeros_like(place))
    gain = (torch.exp2(targets - targets.masked_fill(~mask, torch.inf).amin(-1, keepdim=True).clamp_max(0.0)) - 1.0).masked_fill(~mask, 0.0)
    ideal = (gain.sort(-1, descending=True).values * weight).sum(-1)
    return (gain.unsqueeze(1).expand(drawn.shape).gather(-1, drawn) * weight).sum(-1) / ideal.clamp_min(1e-12).unsqueeze(1)


def _log_probability(scores: Tensor, mask: Tensor, drawn: Tensor) -> Tensor:
    """[lists, samples]: of each ranking."""
    there = mask.unsqueeze(1).expand(drawn.shape).gather(-1, drawn)
    chosen = scores.unsqueeze(1).expand(drawn.shape).gather(-1, drawn).masked_fill(~there, -torch.inf)
    left = chosen.flip(-1).logcumsumexp(-1).flip(-1)
    return torch.where(there, chosen - left, torch.zeros_like(left)).sum(-1)
