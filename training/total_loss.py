"""L = LM + λ · rank (+ probe) over a batch's windows, each on its own; and how much each window counts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from firstrank.training.config import Config, Difficulty, Reweighting
from firstrank.training.losses import loss_of
from firstrank.training.losses.lists import better, mean, prepared
from firstrank.training.network import Seen
from firstrank.training.samples.batch import Batch


class Terms(NamedTuple):
    """Losses of a batch, each [windows], unweighted; and what is minimised."""

    total: Tensor
    """one number: the weighted mean over windows of lm.weight · lm + rank.weight · rank + probe.weight · probe"""
    lm: Tensor
    rank: Tensor
    probe: Tensor


class TotalLoss:
    """(what a forward pass gave, the batch, progress from 0 to 1) -> Terms. Raises InputError for an unknown ranking loss."""

    def __init__(self, config: Config) -> None:
        self._loss, self._difficulty, self._reweighting = config.loss, config.difficulty, config.reweighting
        self._rank = loss_of(config.loss.rank.name, config.loss.rank.options)

    def __call__(self, seen: Seen, batch: Batch, progress: float) -> Terms:
        lm = seen.token_losses.new_zeros(len(batch.qids))
        if len(seen.token_losses):
            lm = lm.index_add(0, batch.answer_windows, seen.token_losses * batch.answer_weights)
        rank = torch.zeros_like(lm)
        if seen.scores is not None and self._loss.rank.weight:
            rank = self._rank(seen.scores, batch.targets, batch.mask)
        probe = torch.zeros_like(lm) if seen.marks is None else self._rank(seen.marks, batch.targets, batch.mask)
        each = self._loss.lm.weight * lm + self._loss.rank.weight * rank + self._loss.probe.weight * probe
        return Terms((each * self._weights(each.detach(), batch, progress)).mean(), lm, rank, probe)

    def _weights(self, losses: Tensor, batch: Batch, progress: float) -> Tensor:
        weights = torch.ones_like(losses)
        if self._difficulty is not None:
            weights = weights * ease(batch, progress, self._difficulty)
        if self._reweighting is not None:
            weights = weights * by_loss(losses, self._reweighting)
        return weights


def ease(batch: Batch, progress: float, settings: Difficulty) -> Tensor:
    """[windows]: weights D + (1 - D) · progress / until, 1 from `until` on; D in [0, 1] says how easy a window is.

    D is the mean over pairs, one better than the other, of (1/r+ - 1/r- + 1) / 2 with their ranks in the first stage: a window
    is easy where the first stage had it right. MacAvaney et al., Training Curricula for Open Domain Answer Re-Ranking, SIGIR 2020.
    """
    _, targets = prepared(batch.targets, batch.targets, batch.mask)
    reciprocal = 1.0 / (batch.places.to(targets.dtype) + 1.0)
    pairs = better(targets, batch.mask)
    easy = mean((reciprocal.unsqueeze(-1) - reciprocal.unsqueeze(-2) + 1.0) / 2.0, pairs)
    return easy + (1.0 - easy) * min(1.0, progress / settings.until)


def by_loss(losses: Tensor, settings: Reweighting) -> Tensor:
    """[windows]: weights from the losses of one forward pass, their mean 1.

    Losses are spread over h in [-1, 1]; weights are softmax(f(h) / temperature) with f = min(h + 1, 1) (linupper: samples that
    are learned already count less), 1 - h² (quadratic: the middle counts most) or |h| (extremes: both ends do).
    Sow et al., Dynamic Loss-Based Sample Reweighting for Improved Large Language Model Pretraining, ICLR 2025, arXiv 2502.06733.
    """
    spread = losses.amax() - losses.amin()
    h = 2.0 * (losses - losses.amin()) / spread.clamp_min(1e-12) - 1.0 if spread > 0 else torch.zeros_like(losses)
    f = {"linupper": (h + 1.0).clamp_max(1.0), "quadratic": 1.0 - h.square(), "extremes": h.abs()}[settings.kind]
    return torch.softmax(f / settings.temperature, 0) * len(losses)
