"""Which strategy ranks with which window, stride and passes: from the caller, else the model's YAML, else 20 / 10 / 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reranker.strategies import parse_strategy
from reranker.types import Strategy

if TYPE_CHECKING:
    from reranker.models import ModelSpec

WINDOW, STRIDE, PASSES = 20, 10, 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy's name and its numbers; None means "whatever the model's YAML says"."""

    name: str = "sliding"
    window: int | str | None = None
    stride: int | None = None
    passes: int | None = None

    def completed(self, spec: ModelSpec) -> Schedule:
        """What is not said is taken from the model; a window given alone keeps the stride at half of it at most."""
        window = spec.window if self.window is None else self.window
        stride = spec.stride if self.stride is None else self.stride
        if self.stride is None and self.window is not None and isinstance(window, int) and stride is not None:
            stride = max(1, min(stride, window // 2))
        return replace(self, window=window, stride=stride, passes=spec.passes if self.passes is None else self.passes)

    def strategy(self, top_k: int | None = None) -> Strategy:
        """Raises InputError for an unknown name, an illegal combination, or a `top_k` that it cannot guarantee."""
        return parse_strategy(
            self.name, window=self.window or WINDOW, stride=self.stride or STRIDE, passes=self.passes or PASSES, top_k=top_k
        )
