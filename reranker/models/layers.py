"""A part of a network: its first layers, and a final norm without weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_NEUTRAL = (1.0, 0.0)
"""what a norm's weight is where it does nothing: some multiply by it, Gemma's by one more than it"""


def cut_config(name: str, path: Path, layers: int) -> Any:
    """The configuration in a folder, with the first `layers` layers only. Raises ModelError where there are fewer."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    text = config.get_text_config()
    if layers > text.num_hidden_layers:
        raise ModelError(f"model {name!r}: layers: {layers} cannot be kept, for the network has {text.num_hidden_layers}")
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return config


def is_beyond(tensor: str, layers: int | None) -> bool:
    """Whether a checkpoint's tensor belongs to a layer that is not kept."""
    found = _LAYER.search(tensor)
    return layers is not None and found is not None and int(found[1]) >= layers


def make_norm_plain(name: str, network: Any) -> None:
    """Takes the weights out of a network's final norm: x / sqrt(mean(x²) + eps) is left. Raises ModelError where it is no RMS norm."""
    _make_plain(name, getattr(network.base_model, "norm", None), type(network).__name__)


def check_first_layers(name: str, network: Any, layers: int) -> None:
    """Raises ModelError where a network could not be loaded with `layers: N` and `norm: plain`."""
    if not hasattr(network.base_model, "layers"):
        raise ModelError(f"model {name!r}: layers: {layers} cannot be kept, for {type(network).__name__} does not name its layers so")
    _make_plain(name, deepcopy(getattr(network.base_model, "norm", None)), type(network).__name__)


@contextmanager
def first_layers(network: Any, layers: int) -> Iterator[None]:
    """Within it, a network ends after its first `layers` layers, without a final norm."""
    import torch

    base = network.base_model
    whole, norm = base.layers, base.norm
    base.layers, base.norm = whole[:layers], torch.nn.Identity()
    try:
        yield
    finally:
        base.layers, base.norm = whole, norm


def plain_norm(hidden: Tensor) -> Tensor:
    """Hidden states [..., d] in fp32, each over the root of its mean square: what stands before the head where marks are read."""
    from torch.nn.functional import rms_norm

    return rms_norm(hidden.float(), (hidden.shape[-1],))


def _make_plain(name: str, norm: Any, network: str) -> None:
    import torch

    weight, eps = getattr(norm, "weight", None), getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if weight is None or eps is None:
        raise ModelError(f"model {name!r}: norm: plain needs a network whose last norm is an RMS norm; that of {network} is not")
    probe = torch.linspace(-1.0, 2.0, len(weight), dtype=torch.float32, device=weight.device)
    plain = probe * torch.rsqrt(probe.square().mean() + eps)
    for neutral in _NEUTRAL:
        with torch.no_grad():
            weight.fill_(neutral)
            if torch.allclose(norm(probe.to(weight.dtype)).float(), plain, rtol=1e-2, atol=1e-2):
                return
    raise ModelError(f"model {name!r}: norm: plain: the last norm of {network} is no RMS norm")
