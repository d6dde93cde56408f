"""Which strategy ranks with which window, stride and passes: from the caller, else the model's YAML, else sliding and 20 / 10 / 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.strategies.windows import WindowSize
from firstrank.reranker.types import Strategy

SLIDING = "sliding"
WINDOW, STRIDE, PASSES = 20, 10, 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy's name and its numbers; None means "whatever the model's YAML says"."""

    strategy: str | None = None
    """NAME[:key=value,…]"""
    window: WindowSize | None = None
    stride: int | None = None
    passes: int | None = None
    top_k: int | None = None
    """the best so many must be right; what the strategy does beyond them is its own affair"""
    seed: int = 0
    """of strategies that draw"""

    def completed(self, own: Schedule) -> Schedule:
        """What is not said is taken from the model's `own` schedule; a window given alone keeps the stride at half of it at most.

        A stride or passes without a strategy mean `sliding`, the one that has both.
        """
        strategy = self.strategy or (SLIDING if self.stride is not None or self.passes is not None else own.strategy)
        stride = self.stride
        if stride is None and self.window != "auto" and own.stride is not None:
            stride = min(own.stride, max(1, self.window // 2)) if self.window else own.stride
        return replace(
            self,
            strategy=strategy,
            window=self.window or own.window,
            stride=stride,
            passes=own.passes if self.passes is None else self.passes,
        )

    def build(self, top_k: int | None = None) -> Strategy:
        """The strategy itself; `top_k` in place of the schedule's own.

        Raises InputError for an unknown name, an illegal combination, or a `top_k` that is no number of places.
        """
        stride = STRIDE if self.stride is None and self.window is None else self.stride
        return parse_strategy(
            self.strategy or SLIDING,
            window=self.window or WINDOW,
            stride=stride,
            passes=PASSES if self.passes is None else self.passes,
            top_k=self.top_k if top_k is None else top_k,
        )
