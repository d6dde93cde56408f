"""Attention over a row of packed segments: no padding reaches a product, and what several segments share is read once.

A row holds segments one after the other. A segment stands behind a prefix or behind nothing; its tokens see the prefix and, causally,
themselves. A prefix has been read in a pass of its own, which kept its keys and values. So each segment's states are those of the plain
causal pass over prefix + segment, whatever stands beside it; only the order of floating-point sums differs.

`Layout` says where segments are. It reaches the attention function of every layer by the thread (`reading`), because not every network of
transformers hands keyword arguments down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

NAME = "firstrank_packed"
"""the attention implementation's name in transformers"""

_BLOCK = 256
"""queries that attend at once"""

Ids = Sequence[int]


class Prefix:
    """What segments of one request share: token ids, and once they are read, the keys and values of each layer."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.lock = threading.Lock()
        self.states: dict[int, tuple[Tensor, Tensor]] = {}
        """layer -> keys and values, each [tokens, key heads, d]"""

    @property
    def is_read(self) -> bool:
        return bool(self.states) or not self.ids


class Segment(NamedTuple):
    """Token ids behind a prefix."""

    ids: Ids
    prefix: Prefix | None = None


class Group(NamedTuple):
    """Segments behind one prefix, padded to the longest of them in attention alone."""

    prefix: Prefix | None
    rows: Tensor
    """[segments, longest]: places in the row; past a segment's end, that of its last token"""
    real: Tensor
    """[segments, longest]: whether that is a token of the segment"""


@dataclass
class Layout:
    """A row of tokens and who sees whom in it."""

    ids: Tensor
    """[1, tokens]"""
    positions: Tensor
    """[1, tokens]"""
    groups: list[Group]
    last: Tensor
    """[segments]: places of the segments' last tokens, in the order they were given"""
    keeps: Prefix | None = None
    """the prefix whose states these tokens are"""
    masks: dict[Any, Tensor] = field(default_factory=dict)
    """made once a pass, used by every layer"""


def layout(segments: Sequence[Segment], device: torch.device | str = "cpu", keeps: Prefix | None = None) -> Layout:
    """One row of all segments, grouped by their prefixes, which have been read."""
    ids: list[int] = []
    positions: list[int] = []
    groups: list[Group] = []
    last = [0] * len(segments)
    order = sorted(range(len(segments)), key=lambda i: id(segments[i].prefix))
    for _, places in groupby(order, key=lambda i: id(segments[i].prefix)):
        chosen = list(places)
        prefix = segments[chosen[0]].prefix
        first, starts = len(prefix.ids) if prefix else 0, []
        for place in chosen:
            own = segments[place].ids
            starts.append(len(ids))
            ids += own
            positions += range(first, first + len(own))
            last[place] = len(ids) - 1
        sizes = torch.tensor([[len(segments[place].ids)] for place in chosen])
        within = torch.arange(int(sizes.max()))
        rows = torch.tensor(starts)[:, None] + torch.minimum(within, sizes - 1)
        groups.append(Group(prefix, rows.to(device), (within < sizes).to(device)))
    row, within_row, ends = (torch.tensor(one, device=device) for one in ([ids], [positions], last))
    return Layout(row, within_row, groups, ends, keeps)


_thread = threading.local()


@contextmanager
def reading(row: Layout) -> Iterator[None]:
    """Within it, the networks that this thread runs attend as `row` says."""
    _thread.row = row
    try:
        yield
    finally:
        del _thread.row


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """A transformers attention function: query [1, heads, tokens, d], key and value [1, key heads, tokens, d] -> [1, tokens, heads, d]."""
    row: Layout = _thread.row
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))  # [tokens, heads, d]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    style = _Style(scale, sliding_window, softcap, s_aux)
    if row.keeps is not None:
        row.keeps.states[module.layer_idx] = k, v
    found = q.new_empty(q.shape[0], q.shape[1], v.shape[-1])
    for group in row.groups:
        keys, values = k[group.rows], v[group.rows]
        if group.prefix is not None and group.prefix.ids:
            before = group.prefix.states[module.layer_idx]
            keys, values = (torch.cat([old.expand(len(new), *old.shape), new], 1) for old, new in zip(before, (keys, values), strict=True))
        found[group.rows[group.real]] = _attend(q[group.rows], keys, values, row.masks, style)[group.real]
    return found[None], None


class _Style(NamedTuple):
    """What a family of models does to its attention's scores."""

    scale: float
    sliding_window: int | None
    softcap: float | None
    sinks: Tensor | None
    """[heads]: a score that takes a share of the attention and gives nothing (gpt-oss)"""


def _attend(q: Tensor, k: Tensor, v: Tensor, masks: dict[Any, Tensor], style: _Style) -> Tensor:
    """[n, tokens, heads, d] over [n, keys, key heads, d]: the last query sees all keys, the one before it all but the last, and so on.

    In blocks of queries, each over the keys that its last one sees: half of the work, and no large mask.
    """
    tokens, before = q.shape[1], k.shape[1] - q.shape[1]
    ends = [*range(_BLOCK, tokens, _BLOCK), tokens]
    parts = []
    for start, end in zip([0, *ends], ends, strict=False):
        parts.append(_attend_block(q[:, start:end], k[:, : before + end], v[:, : before + end], masks, style))
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def _attend_block(q: Tensor, k: Tensor, v: Tensor, masks: dict[Any, Tensor], style: _Style) -> Tensor:
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


def _spelled_out(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, style: _Style, tokens: int) -> Tensor:
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


def pack(network: Any) -> None:
    """Makes a transformers network attend over packed rows. Raises ValueError where it cannot."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
    network.set_attn_implementation(NAME)


def unpack(network: Any, implementation: str) -> None:
    """Takes `pack` back."""
    network.set_attn_implementation(implementation)
