"""A network that marks passages behind a shared header, with a LoRA adapter that learns to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from benchmarks.points.window import Window
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.catalog import read_settings
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.network import load_network
from firstrank.reranker.prompt.pointwise import PointPrompter
from firstrank.reranker.scorers.transformers.packed import Layout, layout, pack, prefix_layout, reading
from firstrank.reranker.scorers.transformers.segments import Prefix, Segment
from firstrank.reranker.scorers.transformers.varlen import kernel_for
from firstrank.training.fused import fuse
from firstrank.training.lisa import layers_of
from firstrank.training.machine import arithmetic
from firstrank.training.network import causal_model, tuned
from firstrank.training.sections import Adapter, Tuning


@dataclass(frozen=True)
class Recipe:
    """What a run is made by; the same in all its parts."""

    lists: str
    start: str = "first-smollm2"
    """whose weights it begins from"""
    settings: str = "point-smollm2"
    """the model that it is to be: template, layers, the token of the mark"""
    steps: int = 1200
    fall: int = 80
    """last steps, over which the rate falls to 0"""
    lowest: int = 4
    """layer that is tuned, counted from 0, and all above it"""
    rank: int = 32
    marks: tuple[int, ...] = (16, 20)
    """layers after which marks are taught, counted from 1"""
    lr: float = 6e-4
    warmup: int = 20
    windows: int = 2
    """a step"""
    together: int = 1
    """windows of a forward pass"""
    workers: int = 0
    """processes that make windows ready"""
    minutes: float | None = None
    """after which the run is to end, if its steps take longer"""
    temperature: float = 0.75
    weight: float = 0.5
    """of each mark's loss"""
    seed: int = 1


class Reader:
    """Reads windows; `marks` has gradients for the adapter."""

    def __init__(self, recipe: Recipe) -> None:
        self.settings, self.model = read_settings(recipe.settings), load_model(recipe.start)
        token = self.settings.pointwise
        if token is None:
            raise InputError(f"{recipe.settings}: does not read a passage at a time (answer: pointwise): give a model that does")
        torch.manual_seed(recipe.seed)
        tuning = Tuning(precision="auto")
        dtype = torch.float32 if arithmetic(tuning) == "float32" else torch.bfloat16
        base = None if self.model.base is None else Path(self.model.base)
        of = self.settings
        network = load_network(self.model.name, Path(self.model.path), dtype, base=base, layers=of.layers, norm=of.norm)
        layers = layers_of(network)
        self._states: dict[int, Tensor] = {}
        for mark in recipe.marks:
            layers[mark - 1].register_forward_hook(partial(self._keep, mark))
        pack(network)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self.device)
        self._kernel = kernel_for(network, self.device)
        adapter = Adapter(rank=recipe.rank, alpha=2.0 * recipe.rank, layers=(recipe.lowest, len(layers) - 1))
        self.network = tuned(network, tuning.model_copy(update={"lora": adapter}))
        fuse(self.network, dtype)
        self._plain = causal_model(self.network).base_model
        asks = PointPrompter(self.model.tokenizer, of.read_point_template(), token, context=self.model.context)
        self._row = network.get_output_embeddings().weight[asks.ids[0]].detach().float().to(self.device)

    @property
    def moving(self) -> list[Tensor]:
        """The adapter's weights."""
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def marks(self, windows: Sequence[Window]) -> list[tuple[Tensor, ...]]:
        """Of each layer that is taught, for each window: [passages], fp32, what a passage's last state says before the head.

        The headers are read in a pass of their own, as `packed` has it; gradients flow back through their states too.
        """
        headers = [Prefix(window.header) for window in windows]
        self._run(prefix_layout(headers, self.device, self._kernel))
        segments = [Segment(ids, header) for window, header in zip(windows, headers, strict=True) for ids in window.suffixes]
        row = layout(segments, self.device, self._kernel)
        self._run(row)
        states = [state[0, row.read].float() for _, state in sorted(self._states.items())]
        sizes = [len(window.suffixes) for window in windows]
        return [(rms_norm(state, state.shape[-1:]) @ self._row).split(sizes) for state in states]

    def _run(self, row: Layout) -> None:
        half = self.device.type == "cuda"
        with reading(row), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            self._plain(input_ids=row.ids, position_ids=row.positions, use_cache=False)

    def _keep(self, mark: int, module: Any, given: Any, found: Any) -> None:
        self._states[mark] = found[0] if isinstance(found, tuple) else found
