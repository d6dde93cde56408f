"""Where things stand in a picture: coordinates for the report's inline SVG, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from firstrank.reranker.calibration.quality import Bin

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 740, 24, 350
_BARS_WIDTH, _BARS_HEIGHT = 420, 130
_SQUARE = 300
_SMALLEST, _LARGEST = 3, 14
"""radii of a bin's circle; its area grows with its share"""


class Point(NamedTuple):
    """A system in the effectiveness-latency plane; `seconds` None where its cost was not measured."""

    name: str
    seconds: float | None
    value: float


def pareto(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both time and value, fastest first."""
    front: list[Point] = []
    for point in sorted((p for p in points if p.seconds is not None), key=lambda p: (p.seconds, -p.value)):
        if not front or point.value > front[-1].value:
            front.append(point)
    return front


def effectiveness_against_latency(points: Sequence[Point]) -> dict[str, Any] | None:
    """The geometry of the picture, or None where no system's cost was measured. Time is on a log scale."""
    timed = [point for point in points if point.seconds]
    if not timed:
        return None
    across = _Scale([math.log10(point.seconds or 1) for point in timed], _LEFT, _RIGHT, 0.15)
    up = _Scale([point.value for point in points], _BOTTOM, _TOP, 0.12)

    def x(point: Point) -> float:
        return across(math.log10(point.seconds or 1))

    front = pareto(timed)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": _RIGHT,
        "top": _TOP,
        "bottom": _BOTTOM,
        "x_ticks": [{"at": across(math.log10(tick)), "label": f"{tick:g}"} for tick in _decades(across)],
        "y_ticks": [{"at": up(tick), "label": f"{round(tick, 6):g}"} for tick in _round_steps(up.low, up.high)],
        "front": " ".join(f"{'M' if i == 0 else 'L'}{x(point)},{up(point.value)}" for i, point in enumerate(front)),
        "points": [_labelled(point, x(point), up(point.value)) for point in timed],
        "asides": [{"name": point.name, "y": up(point.value)} for point in points if not point.seconds],
    }


def sorted_bars(differences: Sequence[float], titles: Sequence[str]) -> dict[str, Any]:
    """A bar a query, best first; bars of 0 have no height."""
    scale = max((abs(one) for one in differences), default=0.0) or 1.0
    zero, step = _BARS_HEIGHT / 2, _BARS_WIDTH / max(len(differences), 1)
    bars = []
    for place, i in enumerate(sorted(range(len(differences)), key=lambda i: -differences[i])):
        height = abs(differences[i]) / scale * (zero - 4)
        bars.append(
            {
                "kind": "up" if differences[i] > 0 else "down",
                "x": round(place * step, 2),
                "y": round(zero - height if differences[i] > 0 else zero, 2),
                "width": round(max(step * 0.85, 0.2), 2),
                "height": round(height, 2),
                "title": titles[i],
            }
        )
    return {"width": _BARS_WIDTH, "height": _BARS_HEIGHT, "zero": zero, "scale": scale, "bars": bars}


def reliability_diagram(bins: Sequence[Bin]) -> dict[str, Any]:
    """A circle a bin: what was said across, what came true up. On the diagonal both are the same."""
    left, right, top, bottom = 52, _SQUARE - 16, 16, _SQUARE - 48
    across, up = _Scale((0, 1), left, right, 0), _Scale((0, 1), bottom, top, 0)
    marks = (0, 0.25, 0.5, 0.75, 1)
    points = [
        {
            "x": across(one.probability),
            "y": up(one.relevant),
            "r": round(max(_LARGEST * math.sqrt(one.share), _SMALLEST), 1),
            "title": f"said {one.probability:.3f}, relevant {one.relevant:.3f}: {one.share:.1%} of the candidates",
        }
        for one in bins
    ]
    return {
        "width": _SQUARE,
        "height": _SQUARE,
        "left": left,
        "right": right,
        "top": top,
        "bottom": bottom,
        "x_ticks": [{"at": across(mark), "label": f"{mark:g}"} for mark in marks],
        "y_ticks": [{"at": up(mark), "label": f"{mark:g}"} for mark in marks],
        "points": points,
    }


class _Scale:
    """Maps numbers to pixels, with some air on both sides."""

    def __init__(self, numbers: Sequence[float], start: float, end: float, air: float) -> None:
        spread = max(numbers) - min(numbers) or abs(max(numbers)) * 0.2 or 1.0
        self.low, self.high = min(numbers) - spread * air, max(numbers) + spread * air
        self._start, self._end = start, end

    def __call__(self, number: float) -> float:
        return round(self._start + (number - self.low) / (self.high - self.low) * (self._end - self._start), 1)


def _labelled(point: Point, x: float, y: float) -> dict[str, Any]:
    """Names stand below and to the right of their point, where the front never runs; at the right edge above and to the left."""
    edge = x > _RIGHT - 120
    title = f"{point.name}: {point.value:.4f} at {point.seconds:.3g} s"
    where = {"dx": -8, "dy": -8, "anchor": "end"} if edge else {"dx": 8, "dy": 14, "anchor": "start"}
    return {"name": point.name, "x": x, "y": y, "title": title} | where


def _decades(scale: _Scale) -> list[float]:
    """1, 2 and 5 times powers of ten within a log scale."""
    exponents = range(math.floor(scale.low), math.ceil(scale.high) + 1)
    ticks = [mantissa * 10.0**exponent for exponent in exponents for mantissa in (1, 2, 5)]
    return [tick for tick in ticks if scale.low <= math.log10(tick) <= scale.high]


def _round_steps(low: float, high: float) -> list[float]:
    """Four to nine round numbers within a range."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [float(tick) for tick in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step]
