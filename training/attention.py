"""Attention over windows that stand one after another in a row: each is attended to alone, so that there is neither padding nor a mask.

`windows` is an attention of transformers' interface. It needs a network whose attention is plain: causal, without a sliding window
shorter than the context, a cap on its logits, or sinks. Others keep what they have, with dense masks made from the positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from firstrank.reranker.errors import InputError
from firstrank.training.sections import Tuning

WINDOWS = "windows"
_LONG = 1024
"""tokens of a window from which a CPU is faster with the fused function, which keeps no matrix of weights"""


def choose(network: Any, tuning: Tuning, context: int) -> None:
    """Gives the network the attention of the recipe. Raises InputError for one that it does not have, or that is not installed."""
    wanted: str = tuning.attention
    plain = _is_plain(network, context)
    if wanted == "auto":
        wanted = WINDOWS if plain else "auto"
    if wanted == WINDOWS and not plain:
        raise InputError(
            f"tuning.attention=windows: {type(network).__name__} has a sliding window, capped logits, sinks, or attention of its own: "
            "leave it out, or say eager"
        )
    if wanted == "auto":
        return
    _register()
    try:
        network.set_attn_implementation(wanted)
    except (ValueError, ImportError) as error:
        raise InputError(f"tuning.attention={wanted}: {str(error).splitlines()[0]}") from error


def _is_plain(network: Any, context: int) -> bool:
    config = network.config.get_text_config()
    slides = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None) or ()
    sliding = any("sliding" in kind or "chunked" in kind for kind in types) or (not types and slides is not None)
    capped = getattr(config, "attn_logit_softcapping", None)
    known = bool(getattr(network, "_supports_sdpa", False)) and bool(network._can_set_attn_implementation())
    return known and not capped and not (sliding and (slides or 0) < context) and config.model_type not in _OWN


_OWN = ("gpt2",)
"""its layers do not hand on what an attention needs to know"""


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(WINDOWS, attend)
    AttentionMaskInterface.register(WINDOWS, lambda *args, **kwargs: None)


@contextmanager
def serving(network: Any) -> Iterator[Any]:
    """The network in evaluation, with attention that reads masks and caches, as a scorer needs, and in the type of its weights:
    accelerate has wrapped its forward pass in autocast."""
    training, own, wrapped = network.training, network.config._attn_implementation, network.forward
    if own == WINDOWS:
        network.set_attn_implementation("sdpa")
    network.forward = getattr(network, "_original_forward", wrapped)
    try:
        yield network.eval()
    finally:
        network.forward = wrapped
        if own == WINDOWS:
            network.set_attn_implementation(own)
        network.train(training)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: tuple[tuple[int, int], ...] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """q [rows, heads, tokens, d], k and v [rows, key heads, tokens, d] -> [rows, tokens, heads, d]; causal within each segment of the row,
    or within each row where there are none (padding stands on the right, where it is not seen)."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key = query.to(value.dtype), key.to(value.dtype)  # rotations are in fp32
    if segments is None:
        return _causal(query, key, value, scale, dropout).transpose(1, 2), None
    parts = [slice(*segment) for segment in segments]
    found = [_causal(query[:, :, part], key[:, :, part], value[:, :, part], scale, dropout) for part in parts]
    return torch.cat(found, 2).transpose(1, 2), None


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float) -> Tensor:
    tokens = query.shape[2]
    if query.device.type != "cpu" or tokens > _LONG or dropout:
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True, scale=scale, enable_gqa=True)
    return _products(query, key, value, scale)


def _products(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Two products and a softmax: on a CPU faster, forward and back, than the fused function.

    Query heads that share a key head stand one after another as if they were tokens, so that no key is copied.
    """
    rows, heads, tokens, d = query.shape
    shared = key.shape[1]
    stacked = (query * scale).reshape(rows * shared, heads // shared * tokens, d)
    hidden = torch.full((tokens, tokens), -torch.inf, dtype=query.dtype).triu(1).repeat(heads // shared, 1)
    keys, values = (one.reshape(rows * shared, tokens, one.shape[-1]) for one in (key, value))
    weights = torch.baddbmm(hidden, stacked, keys.transpose(1, 2)).softmax(-1)
    return torch.bmm(weights, values).view(rows, heads, tokens, -1)
