"""Attention over a packed row by kernels that take segments' lengths and pad nothing: FlashAttention's, for GPUs in bf16 and fp16.

torch brings one; the package flash-attn, where it is installed, another, which also knows capped scores.
`masked` does by a mask what they do, on any device: it is what tests run in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from firstrank.reranker.scorers.transformers.segments import Prefix, Segment, Style
from firstrank.reranker.scorers.transformers.transfer import sent

_HALF = (torch.bfloat16, torch.float16)
_WIDEST = 256
"""a head's numbers, at most"""


class Spans(NamedTuple):
    """Where segments begin and end in a row."""

    queries: Tensor
    """[segments + 1] int32: places in the row where segments begin, and its end"""
    keys: Tensor
    """[segments + 1] int32: the same for what a segment sees, which is its prefix and itself"""
    most_queries: int
    most_keys: int


class Kernel(Protocol):
    """q [tokens, heads, d], k and v [keys, key heads, d] -> [tokens, heads, d], and the sums' logarithms, [heads, tokens].

    The last query of a segment sees all its keys, the one before it all but the last, and so on.
    """

    __name__: str

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, style: Style, /) -> tuple[Tensor, Tensor]: ...


class Varlen:
    """Who sees whom in a row, for a kernel."""

    def __init__(self, segments: Sequence[Segment], starts: Sequence[int], device: torch.device | str, kernel: Kernel) -> None:
        self._kernel = kernel
        self._prefixes = list(dict.fromkeys(one.before for one in segments if one.before is not None))
        sizes = [len(one.ids) for one in segments]
        seen = [size + (len(one.before.ids) if one.before else 0) for one, size in zip(segments, sizes, strict=True)]
        queries, keys, places = sent(device, [*starts, sum(sizes)], _ends(seen), self._places(segments, starts))
        self._spans = Spans(queries.int(), keys.int(), max(sizes), max(seen))
        self._keys = places if self._prefixes else None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, style: Style) -> Tensor:
        """[tokens, heads, d] over the row's keys and values and those of prefixes -> [tokens, heads, d]."""
        if self._keys is not None:
            before = [prefix.states[layer] for prefix in self._prefixes]
            k = torch.cat([*(one[0] for one in before), k]).index_select(0, self._keys)
            v = torch.cat([*(one[1] for one in before), v]).index_select(0, self._keys)
        found, sums = self._kernel(q.to(v.dtype), k.to(v.dtype), v, self._spans, style)
        if style.sinks is not None:  # a sink is one more term of each sum
            share = torch.sigmoid(sums - style.sinks.float()[:, None])
            found = found * share.T[..., None].to(found.dtype)
        return found

    def _places(self, segments: Sequence[Segment], starts: Sequence[int]) -> list[int]:
        """Of each segment's keys among those of all prefixes and, after these, of the row."""
        if not self._prefixes:
            return []
        first: dict[Prefix, int] = {}
        total = 0
        for prefix in self._prefixes:
            first[prefix] = total
            total += len(prefix.ids)
        places: list[int] = []
        for one, start in zip(segments, starts, strict=True):
            if one.before is not None:
                places += range(first[one.before], first[one.before] + len(one.before.ids))
            places += range(total + start, total + start + len(one.ids))
        return places


def _ends(sizes: Sequence[int]) -> list[int]:
    found = [0]
    for size in sizes:
        found.append(found[-1] + size)
    return found


def kernel_for(network: Any, device: torch.device) -> Kernel | None:
    """The fastest that this machine has for the network's attention; None where there is none."""
    weight = next(network.parameters())
    config = network.config.get_text_config()
    heads = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if device.type != "cuda" or weight.dtype not in _HALF or heads > _WIDEST or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    if find_spec("flash_attn"):
        return flash_attn
    capped = getattr(config, "attn_logit_softcapping", None)
    return None if capped or not torch.backends.cuda.is_flash_attention_available() else torch_flash


def flash_attn(q: Tensor, k: Tensor, v: Tensor, spans: Spans, style: Style) -> tuple[Tensor, Tensor]:
    """By the package flash-attn (FlashAttention-2, Dao, arXiv 2307.08691)."""
    from flash_attn import flash_attn_varlen_func

    found, sums, _ = flash_attn_varlen_func(
        q,
        k,
        v,
        spans.queries,
        spans.keys,
        spans.most_queries,
        spans.most_keys,
        softmax_scale=style.scale,
        causal=True,
        window_size=(_left(style), 0),
        softcap=style.softcap or 0.0,
        return_attn_probs=True,
    )
    return found, sums


def torch_flash(q: Tensor, k: Tensor, v: Tensor, spans: Spans, style: Style) -> tuple[Tensor, Tensor]:
    """By the FlashAttention that torch brings."""
    found, sums, *_ = torch.ops.aten._flash_attention_forward(
        q,
        k,
        v,
        spans.queries,
        spans.keys,
        spans.most_queries,
        spans.most_keys,
        0.0,
        True,
        False,
        scale=style.scale,
        window_size_left=_left(style),
        window_size_right=0,
    )
    return found, sums


def _left(style: Style) -> int:
    """Keys before its own that a query sees; -1: all."""
    return -1 if style.sliding_window is None else style.sliding_window - 1


def masked(q: Tensor, k: Tensor, v: Tensor, spans: Spans, style: Style) -> tuple[Tensor, Tensor]:
    """By one matrix of all queries and keys, in fp32: for tests."""
    query, key = (_owners(ends, len(one)) for ends, one in ((spans.queries, q), (spans.keys, k)))
    behind = _to_end(spans.keys, key)[None, :] - _to_end(spans.queries, query)[:, None]
    seen = (query[:, None] == key[None, :]) & (behind >= 0)
    if style.sliding_window is not None:
        seen &= behind < style.sliding_window
    each = q.shape[1] // k.shape[1]
    keys, values = (one.float().repeat_interleave(each, 1) for one in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q.float(), keys) * style.scale
    if style.softcap is not None:
        scores = style.softcap * torch.tanh(scores / style.softcap)
    scores = scores.masked_fill(~seen, -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), values).to(v.dtype), scores.logsumexp(-1)


def _owners(ends: Tensor, tokens: int) -> Tensor:
    """[tokens]: the segment that each token belongs to."""
    return torch.bucketize(torch.arange(tokens, device=ends.device), ends[1:].long(), right=True)


def _to_end(ends: Tensor, owners: Tensor) -> Tensor:
    """[tokens]: how far each token is from the end of its segment."""
    return ends.long()[owners + 1] - torch.arange(len(owners), device=ends.device)
