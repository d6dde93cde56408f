"""What stands in a packed row: segments of token ids, each behind a prefix that it shares with others, or behind nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

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
    marks: tuple[int, ...] = ()
    """places in prefix and ids together that are read; the last alone where there are none"""

    @property
    def places(self) -> list[int]:
        """What is read, as places in `ids`."""
        before = 0 if self.prefix is None else len(self.prefix.ids)
        return [mark - before for mark in self.marks] or [len(self.ids) - 1]

    @property
    def before(self) -> Prefix | None:
        """The prefix, if it has any tokens."""
        return self.prefix if self.prefix is not None and self.prefix.ids else None


class Style(NamedTuple):
    """What a family of models does to its attention's scores."""

    scale: float
    sliding_window: int | None = None
    """keys that a query sees, itself among them"""
    softcap: float | None = None
    sinks: Tensor | None = None
    """[heads]: a score that takes a share of the attention and gives nothing (gpt-oss)"""
