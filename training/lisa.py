"""LISA: all layers are tuned, but only a few of them at a time (Pan et al., arXiv 2403.17919)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from firstrank.training.sections import Lisa


class LayerSampling(TrainerCallback):
    """Draws which layers move, every so many steps. Embeddings, last norm and head always do.

    What is drawn depends on the seed and the step alone, so a resumed run draws the same. A layer that rests keeps no optimiser
    state and no gradient: that is the memory that LISA saves.
    """

    def __init__(self, network: Any, settings: Lisa, seed: int) -> None:
        self._layers, self._settings, self._seed = layers_of(network), settings, seed
        self._drawn: tuple[int, ...] | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        drawn = self.drawn(state.global_step)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        for index, layer in enumerate(self._layers):
            for parameter in layer.parameters():
                parameter.requires_grad_(index in drawn)
                if index not in drawn:
                    parameter.grad = None
                    if optimizer is not None:
                        optimizer.state.pop(parameter, None)

    def drawn(self, step: int) -> tuple[int, ...]:
        """The layers that move at a step."""
        rng = np.random.default_rng((self._seed, 2, step // self._settings.every))
        count = min(self._settings.layers, len(self._layers))
        return tuple(sorted(rng.choice(len(self._layers), count, replace=False).tolist()))


def layers_of(network: Any) -> torch.nn.ModuleList:
    """A network's blocks: its longest list of modules."""
    lists = [module for module in network.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len)
