"""Where things stand in a picture."""

from __future__ import annotations

import pytest

from firstrank.eval.report.svg import Point, effectiveness_against_latency, pareto, reliability_diagram, sorted_bars
from firstrank.reranker.calibration.quality import Bin


def test_the_front_holds_what_nothing_beats():
    points = [
        Point("slow and good", 9, 0.8),
        Point("fast", 1, 0.5),
        Point("dominated", 5, 0.4),
        Point("middle", 3, 0.7),
        Point("free", None, 0.9),
    ]
    assert [point.name for point in pareto(points)] == ["fast", "middle", "slow and good"]


def test_of_equals_in_time_the_better_is_on_the_front():
    assert [point.name for point in pareto([Point("worse", 1, 0.1), Point("better", 1, 0.2)])] == ["better"]


def test_of_equals_in_value_the_faster_is_on_the_front():
    assert [point.name for point in pareto([Point("slower", 2, 0.2), Point("faster", 1, 0.2)])] == ["faster"]


def test_no_cost_no_picture():
    assert effectiveness_against_latency([Point("a", None, 0.5)]) is None


@pytest.mark.parametrize(
    "points", [[Point("one", 2.0, 0.5)], [Point("a", 0.01, 0.5), Point("b", 100, 0.5)], [Point("a", 1, 0.0), Point("b", None, 0.9)]]
)
def test_everything_is_inside(points):
    picture = effectiveness_against_latency(points)
    for point in picture["points"]:
        assert picture["left"] <= point["x"] <= picture["right"]
        assert picture["top"] <= point["y"] <= picture["bottom"]
    assert picture["x_ticks"]
    assert picture["y_ticks"]


def test_further_right_is_slower_and_higher_is_better():
    fast, slow = effectiveness_against_latency([Point("fast", 1, 0.4), Point("slow", 10, 0.6)])["points"]
    assert fast["x"] < slow["x"]
    assert fast["y"] > slow["y"]


def test_bars_are_sorted_and_scaled():
    chart = sorted_bars([0.1, -0.4, 0.2], ["a", "b", "c"])
    assert [bar["title"] for bar in chart["bars"]] == ["c", "a", "b"]
    assert [bar["kind"] for bar in chart["bars"]] == ["up", "up", "down"]
    assert chart["scale"] == 0.4
    assert chart["bars"][2]["y"] == chart["zero"]


def test_what_was_said_stands_across_and_what_came_true_up():
    chart = reliability_diagram([Bin(0.9, 0.0, 0.0), Bin(0.001, 1.0, 1.0), Bin(0.1, 0.5, 0.25)])
    low, high, middle = chart["points"]
    assert (low["x"], low["y"]) == (chart["left"], chart["bottom"])
    assert (high["x"], high["y"]) == (chart["right"], chart["top"])
    assert middle["x"] == (chart["left"] + chart["right"]) / 2
    assert middle["y"] == chart["bottom"] - (chart["bottom"] - chart["top"]) / 4
    assert low["r"] > middle["r"] > high["r"] > 0
    assert "said 0.500, relevant 0.250: 10.0%" in middle["title"]
