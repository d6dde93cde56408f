"""What must be known of a step's windows before its gradients are taken: one forward pass without them, where a recipe asks for it.

Three things do: targets whose ties stand in the likeliest order, weights by the losses of the whole step, and the label logits
of the weights as they were before training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.samples.batch import Batch, collate
from firstrank.training.samples.sample import Sample, respelled
from firstrank.training.total_loss import TotalLoss, by_loss


class Rehearsal:
    """Prepares a step's batches; without effect, and free, for recipes that need none of it."""

    def __init__(self, config: Config, model: Model, total_loss: TotalLoss, accelerator: Any) -> None:
        self._config, self._model, self._total_loss, self._accelerator = config, model, total_loss, accelerator
        self._orders_ties = config.loss.lm.ties == "likeliest" and config.loss.lm.weight.ever
        self._start = bool(config.loss.start.weight)

    def prepared(self, network: Any, batches: list[Batch], samples: Sequence[Sequence[Sample]], progress: float) -> list[Batch]:
        """The batches as they are to be trained on, on the device that they are on."""
        if self._orders_ties:
            with _still(network):
                batches = [self._likeliest(network, *each) for each in zip(batches, samples, strict=True)]
        if self._start:
            with _still(network), self._accelerator.unwrap_model(network).disable_adapter():
                batches = [replace(batch, likely=network(batch=batch).scores.detach()) for batch in batches]
        settings = self._config.reweighting
        if settings is None or (len(batches) == 1 and self._accelerator.num_processes == 1):
            return batches  # the losses of the step are those of its one forward pass
        with _still(network):
            losses = [self._losses(network, batch, progress) for batch in batches]
        mine, sizes = torch.cat(losses), torch.cat([batch.mask.sum(-1) for batch in batches])
        weights = by_loss(self._accelerator.gather(mine), self._accelerator.gather(sizes), settings)
        begin = self._accelerator.process_index * len(mine)
        shares = weights[begin : begin + len(mine)].split([len(batch.qids) for batch in batches])
        return [replace(batch, weights=share) for batch, share in zip(batches, shares, strict=True)]

    def _likeliest(self, network: Any, batch: Batch, samples: Sequence[Sample]) -> Batch:
        logits = network(batch=batch).scores.tolist()
        lm = self._config.loss.lm
        spelled = [respelled(one, row[: len(one.grades)], self._model, lm) for one, row in zip(samples, logits, strict=True)]
        pad = self._model.tokenizer.pad_token_id or 0
        return collate(spelled, packing=batch.segments is not None, pad=pad).to(batch.input_ids.device)

    def _losses(self, network: Any, batch: Batch, progress: float) -> Tensor:
        terms = self._total_loss(network(batch=batch), batch, progress)
        return self._total_loss.weighed(terms[1:], progress)


@contextmanager
def _still(network: Any) -> Iterator[None]:
    """Without gradients or dropout."""
    was = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(was)
