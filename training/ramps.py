"""Numbers of a recipe that move as training goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import ConfigDict, RootModel, model_validator


class Ramp(RootModel[float | dict[float, float]]):
    """A number, 0 or more, or how it moves: {progress: number}, progress from 0 to 1, straight lines between, flat outside."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _legal(self) -> Self:
        if isinstance(self.root, dict):
            _check_progress(self.root)
        if not (math.isfinite(self.most) and self.least >= 0):
            raise ValueError(f"{self.root}: numbers of 0 or more are expected")
        return self

    def at(self, progress: float) -> float:
        return self.root if isinstance(self.root, (int, float)) else _between(self.root, progress)

    @property
    def most(self) -> float:
        return self.root if isinstance(self.root, (int, float)) else max(self.root.values())

    @property
    def least(self) -> float:
        return self.root if isinstance(self.root, (int, float)) else min(self.root.values())

    @property
    def ever(self) -> bool:
        """Whether it is ever more than 0."""
        return self.most > 0

    def __str__(self) -> str:
        return f"{self.root:g}" if isinstance(self.root, (int, float)) else " → ".join(f"{self.root[at]:g}" for at in sorted(self.root))


class Range(RootModel[tuple[int, int] | dict[float, tuple[int, int]]]):
    """Whole numbers from low to high, to draw from; or how both ends move: {progress: [low, high]}."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if isinstance(self.root, dict):
            _check_progress(self.root)
        for low, high in [self.root] if isinstance(self.root, tuple) else self.root.values():
            if not 1 <= low <= high:
                raise ValueError(f"[{low}, {high}]: give [low, high] with 1 <= low <= high")
        return self

    def at(self, progress: float) -> tuple[int, int]:
        if isinstance(self.root, tuple):
            return self.root
        low, high = (_between({at: ends[i] for at, ends in self.root.items()}, progress) for i in (0, 1))
        return round(low), round(high)

    @property
    def most(self) -> int:
        """The highest number that is ever drawn."""
        return self.root[1] if isinstance(self.root, tuple) else max(high for _, high in self.root.values())


def _check_progress(points: Mapping[float, object]) -> None:
    if not points:
        raise ValueError("give {progress: number, …}, with at least one point")
    if odd := [at for at in points if not 0 <= at <= 1]:
        raise ValueError(f"{odd[0]:g} is no progress: points lie from 0 (the start) to 1 (the end)")


def _between(points: Mapping[float, float], progress: float) -> float:
    places = sorted(points)
    left = max((place for place in places if place <= progress), default=places[0])
    right = min((place for place in places if place > progress), default=left)
    if right <= left:
        return points[left]
    share = (progress - left) / (right - left) if progress > left else 0.0
    return points[left] + share * (points[right] - points[left])
