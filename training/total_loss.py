"""L = LM + λ · rank (+ probe, distill, z, start) over a batch's windows, each on its own; and how much each window counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from firstrank.training.config import Config
from firstrank.training.losses import loss_of
from firstrank.training.losses.kl import kl
from firstrank.training.losses.lists import better, mean, prepared, tells
from firstrank.training.losses.unit import unit_of
from firstrank.training.network import Seen
from firstrank.training.samples.batch import Batch
from firstrank.training.samples.sample import Samples
from firstrank.training.sections import Difficulty, Doubt, Reweighting

NAMES = ("lm", "rank", "probe", "distill", "z", "start")
_MEASURED = 64
"""windows of a run, on which a ranking loss's unit is measured"""


class Terms(NamedTuple):
    """Losses of a batch, each [windows], unweighted, the ranking loss in the units that λ has; and what is minimised."""

    total: Tensor
    """one number: the weighted mean over windows of each term times its weight"""
    lm: Tensor
    rank: Tensor
    probe: Tensor
    distill: Tensor
    z: Tensor
    start: Tensor


def unit_for(config: Config, samples: Samples) -> float:
    """What a run's ranking loss is multiplied by beside λ."""
    rank = config.loss.rank
    return rank.unit or unit_of(loss_of(rank.name, rank.options), samples.targets(_MEASURED))


class TotalLoss:
    """(what a forward pass gave, the batch, progress from 0 to 1) -> Terms; the ranking loss is multiplied by `unit`."""

    def __init__(self, config: Config, unit: float = 1.0) -> None:
        self._loss, self._difficulty, self._reweighting = config.loss, config.difficulty, config.reweighting
        self._given, self._unit = loss_of(config.loss.rank.name, config.loss.rank.options), unit

    @property
    def names(self) -> list[str]:
        """The terms that the recipe turns on, and the two that are always logged."""
        loss, probe = self._loss, self._loss.probe
        on = {
            "lm": True,
            "rank": True,
            "probe": probe.weight,
            "distill": probe.distill.ever,
            "z": loss.z.weight,
            "start": loss.start.weight,
        }
        return [name for name in NAMES if on[name]]

    def __call__(self, seen: Seen, batch: Batch, progress: float) -> Terms:
        terms = self._terms(seen, batch, progress)
        each = self.weighed(terms, progress)
        return Terms((each * self._weights(each.detach(), batch, progress)).mean(), *terms)

    def _terms(self, seen: Seen, batch: Batch, progress: float) -> tuple[Tensor, ...]:
        loss, ranking = self._loss, seen.ranking if seen.ranking is not None else seen.scores
        lm = seen.token_losses.new_zeros(len(batch.qids))
        if len(seen.token_losses):
            lm = lm.index_add(0, batch.answer_windows, seen.token_losses * batch.answer_weights)
        rank, probe, distill, z, start = (torch.zeros_like(lm) for _ in range(5))
        if ranking is not None and loss.rank.weight.ever:
            rank = self._rank(ranking, batch, doubted(ranking, batch.targets, batch.mask, loss.rank.doubt, progress))
        if seen.marks is not None and loss.probe.weight:
            probe = self._rank(seen.marks, batch, batch.mask)
        if seen.marks is not None and seen.scores is not None and loss.probe.distill.ever:
            distill = distilled(seen.marks, seen.scores, batch.targets, batch.mask)
        if seen.scores is not None and loss.z.weight:
            z = z_loss(seen.scores, batch.targets, batch.mask)
        if seen.scores is not None and batch.likely is not None:
            start = kl(seen.scores, batch.likely, batch.mask) * tells(batch.targets, batch.mask)
        return lm, rank, probe, distill, z, start

    def weighed(self, terms: Sequence[Tensor], progress: float) -> Tensor:
        """[windows]: the terms (those of Terms but the total), each times its weight, summed."""
        lm, rank, probe, distill, z, start = terms
        loss = self._loss
        each = loss.lm.weight.at(progress) * lm + loss.rank.weight.at(progress) * rank
        each = each + loss.probe.weight * probe + loss.probe.distill.at(progress) * distill
        return each + loss.z.weight * z + loss.start.weight * start

    def _rank(self, scores: Tensor, batch: Batch, mask: Tensor) -> Tensor:
        return self._unit * self._given(scores, batch.targets, mask)

    def _weights(self, losses: Tensor, batch: Batch, progress: float) -> Tensor:
        weights = torch.ones_like(losses)
        if self._difficulty is not None:
            weights = weights * ease(batch, progress, self._difficulty)
        if batch.weights is not None:
            weights = weights * batch.weights
        elif self._reweighting is not None:
            weights = weights * by_loss(losses, batch.mask.sum(-1), self._reweighting)
        return weights


def distilled(marks: Tensor, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: KL(softmax(label logits) ‖ softmax(marks)); the label logits teach, and do not move for it.

    Zhang et al., Be Your Own Teacher, ICCV 2019, arXiv 1905.08094: a network's last layer teaches its earlier ones.
    """
    return kl(marks, scores.detach(), mask) * tells(targets, mask)


def z_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """[lists]: (log Σ exp(label logits))², which keeps them near 0. Chowdhery et al., PaLM, arXiv 2204.02311."""
    scores, targets = prepared(scores, targets, mask)
    return torch.logsumexp(scores.masked_fill(~mask, -torch.inf), -1).square() * tells(targets, mask)


def doubted(scores: Tensor, targets: Tensor, mask: Tensor, doubt: Doubt | None, progress: float) -> Tensor:
    """`mask` without the passages of the least grade that the model puts `margin` above the best of the list: likely false negatives.

    Qu et al., RocketQA, NAACL 2021, arXiv 2010.08191, does so with a cross-encoder; here it is the model itself, once it knows something.
    """
    if doubt is None or progress < doubt.begin:
        return mask
    scores, targets = prepared(scores.detach(), targets, mask)
    grades = targets.masked_fill(~mask, torch.inf), targets.masked_fill(~mask, -torch.inf)
    worst, best = targets == grades[0].amin(-1, keepdim=True), targets == grades[1].amax(-1, keepdim=True)
    top = scores.masked_fill(~(best & mask), -torch.inf).amax(-1, keepdim=True)
    return mask & ~(worst & ~best & (scores > top + doubt.margin))


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


def by_loss(losses: Tensor, sizes: Tensor, settings: Reweighting) -> Tensor:
    """[windows]: weights from the losses of a step, their mean 1; a window of n passages counts by its loss over log n.

    By that chance costs the same at every size. Losses are spread over h in [-1, 1]; weights are softmax(f(h) / temperature) with
    f = min(h + 1, 1) (linupper: samples that are learned already count less), 1 - h² (quadratic: the middle counts most) or |h| (extremes:
    both ends do). Sow et al., Dynamic Loss-Based Sample Reweighting for Improved Large Language Model Pretraining, ICLR 2025,
    arXiv 2502.06733.
    """
    losses = losses / sizes.clamp_min(2).to(losses.dtype).log()
    width = losses.amax() - losses.amin()
    h = torch.where(width > 0, 2.0 * (losses - losses.amin()) / width.clamp_min(1e-12) - 1.0, torch.zeros_like(losses))
    f = {"linupper": (h + 1.0).clamp_max(1.0), "quadratic": 1.0 - h.square(), "extremes": h.abs()}[settings.kind]
    return torch.softmax(f / settings.temperature, 0) * len(losses)
