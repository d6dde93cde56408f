"""Which strategy ranks with which window, stride and passes: from the caller, else the model's YAML, else sliding and 20 / 10 / 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Strategy

SLIDING = "sliding"
WINDOW, STRIDE, PASSES = 20, 10, 1


class Usual(Protocol):
    """How a model ranks unless told otherwise; its settings say it."""

    @property
    def strategy(self) -> str: ...

    @property
    def window(self) -> int: ...

    @property
    def stride(self) -> int: ...

    @property
    def passes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy's name and its numbers; None means "whatever the model's YAML says"."""

    name: str | None = None
    window: int | str | None = None
    stride: int | None = None
    passes: int | None = None

    def completed(self, spec: Usual) -> Schedule:
        """What is not said is taken from the model; a window given alone keeps the stride at half of it at most.

        A stride or passes without a strategy mean `sliding`, the one that has both.
        """
        name = self.name or (SLIDING if self.stride or self.passes else spec.strategy)
        stride = self.stride
        if stride is None and self.window != "auto":
            stride = min(spec.stride, max(1, int(self.window) // 2)) if self.window else spec.stride
        return Schedule(name, self.window or spec.window, stride, self.passes or spec.passes)

    def strategy(self, top_k: int | None = None) -> Strategy:
        """Raises InputError for an unknown name, an illegal combination, or a `top_k` that is no number of places."""
        stride = STRIDE if self.stride is None and self.window is None else self.stride
        return parse_strategy(self.name or SLIDING, window=self.window or WINDOW, stride=stride, passes=self.passes or PASSES, top_k=top_k)
