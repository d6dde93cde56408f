"""Numbers of a recipe that move as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import ConfigDict, RootModel, model_validator


class Ramp(RootModel[float | dict[float, float]]):
    """A number, or how it moves: {progress: number}, progress from 0 to 1, straight lines between, flat outside."""

    model_config = ConfigDict(frozen=True)

    def at(self, progress: float) -> float:
        return self.root if isinstance(self.root, (int, float)) else _between(self.root, progress)


class Range(RootModel[tuple[int, int] | dict[float, tuple[int, int]]]):
    """Whole numbers from low to high, to draw from; or how both ends move: {progress: [low, high]}."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in [self.root] if isinstance(self.root, tuple) else self.root.values():
            if not 1 <= low <= high:
                raise ValueError(f"[{low}, {high}]: give [low, high] with 1 <= low <= high")
        return self

    def at(self, progress: float) -> tuple[int, int]:
        if isinstance(self.root, tuple):
            return self.root
        low, high = (_between({at: ends[i] for at, ends in self.root.items()}, progress) for i in (0, 1))
        return round(low), round(high)


def _between(points: Mapping[float, float], progress: float) -> float:
    places = sorted(points)
    left = max((place for place in places if place <= progress), default=places[0])
    right = min((place for place in places if place > progress), default=left)
    if right <= left:
        return points[left]
    share = (progress - left) / (right - left) if progress > left else 0.0
    return points[left] + share * (points[right] - points[left])
