"""What the losses do to the network, every so many steps: how much of the next token is a label, and whether the losses pull together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from firstrank.training.config import Config
from firstrank.training.lm import Head
from firstrank.training.network import Seen
from firstrank.training.samples.batch import Batch
from firstrank.training.total_loss import Terms


class Insight:
    """Gathers both over the forward passes of a step, without moving a weight.

    label_mass: the probability of the window's labels among all tokens, where the label logits are read. entanglement: the cosine of
    the gradients that the LM and the ranking loss have there, on the head's input: below 0 they pull apart.
    """

    def __init__(self, config: Config) -> None:
        self._every = config.log.insight
        self._found: list[dict[str, Tensor]] = []

    def wanted(self, step: int) -> bool:
        return self._every is not None and (step + 1) % self._every == 0

    def look(self, network: Any, seen: Seen, terms: Terms, batch: Batch) -> None:
        """Both, for one forward pass. What a recipe turns off is left out."""
        if seen.hidden is None or seen.scores is None:
            return
        found = {"label_mass": _label_mass(seen.hidden[batch.label_rows].detach(), seen.scores.detach(), batch.mask, Head.of(network))}
        if terms.lm.requires_grad and terms.rank.requires_grad:
            slopes = [torch.autograd.grad(term.sum(), seen.hidden, retain_graph=True)[0] for term in (terms.lm, terms.rank)]
            one, other = (slope[batch.label_rows].float() for slope in slopes)
            found["entanglement"] = torch.nn.functional.cosine_similarity(one, other, dim=-1).mean()
        self._found.append(found)

    def told(self) -> dict[str, float]:
        """The means since the last call."""
        found, self._found = self._found, []
        names = {name for one in found for name in one}
        return {name: float(torch.stack([one[name] for one in found if name in one]).mean()) for name in sorted(names)}


def _label_mass(hidden: Tensor, scores: Tensor, mask: Tensor, head: Head) -> Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        everything = torch.logsumexp(head.all_logits(hidden), -1, keepdim=True)
    return ((scores - everything).exp() * mask).sum(-1).mean()
