"""Packed rows: no padding reaches a product, and what several segments share is read once.

A row holds segments one after the other. A segment stands behind a prefix or behind nothing; its tokens see the prefix and, causally,
themselves. A prefix has been read before, by a pass that kept its keys and values. So each segment's states are those of the plain
causal pass over prefix + segment, whatever stands beside it; only the order of floating-point sums differs.

`Layout` says where segments are. It reaches the attention function of every layer by the thread (`reading`), because not every network of
transformers hands keyword arguments down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from firstrank.reranker.scorers.transformers.grouped import Groups
from firstrank.reranker.scorers.transformers.segments import Prefix, Segment, Style
from firstrank.reranker.scorers.transformers.transfer import sent
from firstrank.reranker.scorers.transformers.varlen import Kernel, Varlen

NAME = "firstrank_packed"
"""the attention implementation's name in transformers"""


@dataclass
class Layout:
    """A row of tokens and who sees whom in it."""

    ids: Tensor
    """[1, tokens]"""
    positions: Tensor
    """[1, tokens]"""
    sight: Groups | Varlen
    read: Tensor
    """places in the row that are read, in the order of the segments"""
    keeps: tuple[tuple[Prefix, slice], ...]
    """prefixes that this row reads, and where they stand in it"""


def layout(segments: Sequence[Segment], device: torch.device | str = "cpu", kernel: Kernel | None = None) -> Layout:
    """One row of segments, whose prefixes have been read."""
    return _layout(segments, device, kernel, ())


def prefix_layout(prefixes: Sequence[Prefix], device: torch.device | str = "cpu", kernel: Kernel | None = None) -> Layout:
    """One row that reads prefixes: afterwards they hold their states."""
    ends = list(accumulate(len(one.ids) for one in prefixes))
    keeps = tuple((one, slice(end - len(one.ids), end)) for one, end in zip(prefixes, ends, strict=True))
    return _layout([Segment(one.ids) for one in prefixes], device, kernel, keeps)


def _layout(
    segments: Sequence[Segment], device: torch.device | str, kernel: Kernel | None, keeps: tuple[tuple[Prefix, slice], ...]
) -> Layout:
    ends = list(accumulate(len(one.ids) for one in segments))
    starts = [0, *ends[:-1]]
    firsts = [len(one.before.ids) if one.before else 0 for one in segments]
    ids, positions, read = sent(
        device,
        [index for one in segments for index in one.ids],
        [place for first, one in zip(firsts, segments, strict=True) for place in range(first, first + len(one.ids))],
        [start + place for start, one in zip(starts, segments, strict=True) for place in one.places],
    )
    sight = Groups(segments, starts, device) if kernel is None else Varlen(segments, starts, device, kernel)
    return Layout(ids[None], positions[None], sight, read, keeps)


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
    for prefix, place in row.keeps:
        prefix.states[module.layer_idx] = k[place], v[place]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return row.sight.attend(module.layer_idx, q, k, v, Style(scale, sliding_window, softcap, s_aux))[None], None


def pack(network: Any) -> None:
    """Makes a transformers network attend over packed rows. Raises ValueError where it cannot.

    No mask function goes with it: transformers then makes no mask, and looks for no packed rows of its own, for which it would wait
    for the device.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    network.set_attn_implementation(NAME)


def unpack(network: Any, implementation: str) -> None:
    """Takes `pack` back."""
    network.set_attn_implementation(implementation)
