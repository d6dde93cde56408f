"""Attention over a packed row in groups: segments behind one prefix, padded in attention alone. For any device and kind of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from firstrank.reranker.scorers.transformers.segments import Prefix, Segment, Style

_BLOCK = 256
"""queries that attend at once"""


class Group(NamedTuple):
    """Segments behind one prefix, padded to the longest of them in attention alone."""

    prefix: Prefix | None
    rows: Tensor
    """[segments, longest]: places in the row; past a segment's end, that of its last token"""
    real: Tensor
    """[segments, longest]: whether that is a token of the segment"""


class Groups:
    """Who sees whom in a row; `starts` are the segments' places in it."""

    def __init__(self, segments: Sequence[Segment], starts: Sequence[int], device: torch.device | str) -> None:
        order = sorted(range(len(segments)), key=lambda i: id(segments[i].prefix))
        self._groups = []
        for _, places in groupby(order, key=lambda i: id(segments[i].prefix)):
            chosen = list(places)
            sizes = torch.tensor([[len(segments[place].ids)] for place in chosen])
            within = torch.arange(int(sizes.max()))
            rows = torch.tensor([starts[place] for place in chosen])[:, None] + torch.minimum(within, sizes - 1)
            self._groups.append(Group(segments[chosen[0]].before, rows.to(device), (within < sizes).to(device)))
        self._masks: dict[Any, Tensor] = {}
        """made once a pass, used by every layer"""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, style: Style) -> Tensor:
        """[tokens, heads, d] over the row's keys and values and those of prefixes -> [tokens, heads, d]."""
        found = q.new_empty(q.shape[0], q.shape[1], v.shape[-1])
        for group in self._groups:
            keys, values = k[group.rows], v[group.rows]
            if group.prefix is not None:
                before = group.prefix.states[layer]
                keys, values = (
                    torch.cat([old.expand(len(new), *old.shape), new], 1) for old, new in zip(before, (keys, values), strict=True)
                )
            found[group.rows[group.real]] = _attend(q[group.rows], keys, values, self._masks, style)[group.real]
        return found


def _behind(old: Tensor, new: Tensor) -> Tensor:
    """A prefix's [tokens, heads, d] before each of [n, tokens, heads, d]."""
    return torch.cat([old.expand(len(new), *old.shape), new], 1)


def _attend(q: Tensor, k: Tensor, v: Tensor, masks: dict[Any, Tensor], style: Style) -> Tensor:
    """[n, tokens, heads, d] over [n, keys, key heads, d]: the last query sees all keys, the one before it all but the last, and so on.

    In blocks of queries, each over the keys that its last one sees: half of the work, and no large mask.
    """
    tokens, before = q.shape[1], k.shape[1] - q.shape[1]
    ends = [*range(_BLOCK, tokens, _BLOCK), tokens]
    parts = []
    for start, end in zip([0, *ends], ends, strict=False):
        parts.append(_attend_block(q[:, start:end], k[:, : before + end], v[:, : before + end], masks, style))
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def _attend_block(q: Tensor, k: Tensor, v: Tensor, masks: dict[Any, Tensor], style: Style) -> Tensor:
    """The same for one block.

    Query heads that share a key head stand one after the other as if they were tokens, so that no key is copied.
    """
    n, tokens, heads, d = q.shape
    shared, out = k.shape[2], v.shape[-1]
    group = heads // shared
    mask = _mask(masks, tokens, k.shape[1], group, style.sliding_window, q)
    stacked = q.reshape(n, tokens, shared, group, d).permute(0, 2, 3, 1, 4).reshape(n, shared, group * tokens, d)
    k, v = k.transpose(1, 2), v.transpose(1, 2)
    if style.softcap is None and style.sinks is None:
        found = scaled_dot_product_attention(stacked, k, v, attn_mask=mask, scale=style.scale)
    else:
        found = _spelled_out(stacked, k, v, mask, style, tokens)
    return found.view(n, shared, group, tokens, out).permute(0, 3, 1, 2, 4).reshape(n, tokens, heads, out)


def _spelled_out(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, style: Style, tokens: int) -> Tensor:
    scores = torch.matmul(q, k.transpose(-1, -2)).float() * style.scale
    if style.softcap is not None:
        scores = style.softcap * torch.tanh(scores / style.softcap)
    scores = scores + mask
    if style.sinks is not None:
        sinks = style.sinks.float().view(1, k.shape[1], -1, 1).expand(len(q), -1, -1, tokens).reshape(len(q), k.shape[1], -1, 1)
        scores = torch.cat([scores, sinks], -1)
    weights = scores.softmax(-1)[..., : k.shape[2]]
    return torch.matmul(weights.to(v.dtype), v)


def _mask(masks: dict[Any, Tensor], tokens: int, keys: int, group: int, window: int | None, like: Tensor) -> Tensor:
    """[group x tokens, keys]: 0 where a query sees a key, else minus infinity."""
    if window is not None and window >= keys:
        window = None
    kind = (tokens, keys, group, window, like.dtype)
    if kind not in masks:
        seen = torch.ones(tokens, keys, dtype=torch.bool, device=like.device).tril(keys - tokens)
        if window is not None:
            seen &= ~torch.ones_like(seen).tril(keys - tokens - window)
        masks[kind] = torch.zeros(tokens, keys, dtype=like.dtype, device=like.device).masked_fill_(~seen, float("-inf")).repeat(group, 1)
    return masks[kind]
