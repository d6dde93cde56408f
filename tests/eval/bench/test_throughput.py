"""`firstrank bench throughput`: FLOPs counted by hand, and the command end to end. Rates are never asserted: machines differ."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from firstrank.eval.bench.roof import flops_of_window, product_rate, shape_of
from firstrank.eval.bench.throughput import Load
from firstrank.eval.commands.bench import bench


def test_the_shape_of_a_model_counted_by_hand(tiny_model):
    """Two layers of q 64x64, k and v 32x64, o 64x64, gate and up 128x64, down 64x128 and two norms of 64; one norm at the end."""
    shape = shape_of(tiny_model)
    layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64
    assert shape.parameters == 2 * layer + 64
    assert (shape.layers, shape.width) == (2, 64)
    assert shape.products == ((32, 64), (64, 64), (64, 128), (128, 64))
    assert flops_of_window(shape, 10) == 2 * shape.parameters * 10 + 2 * 2 * 64 * 100
    assert product_rate(shape, 50) > 0


def test_a_load_is_the_same_each_time():
    first, second = list(Load(2, 3, words=5).requests()), list(Load(2, 3, words=5).requests())
    assert first == second
    assert first[0] != first[1]
    assert [len(passage.text.split()) for passage in first[0].passages] == [5, 5, 5]


def test_the_command_reports_what_it_ran(tiny_model, tmp_path):
    arguments = ["throughput", "--model", str(tiny_model), "--windows", "6", "--passages", "4", "--device", "cpu", "--json"]
    done = CliRunner().invoke(bench, [*arguments, "--output", str(tmp_path / "new")], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert json.loads((tmp_path / "new/throughput.json").read_text()) == found
    assert (found["windows"], found["passages"], found["device"], found["dtype"]) == (6, 4, "cpu", "float32")
    mean = found["prompt_tokens"] / 6
    assert found["flops"] == pytest.approx(6 * flops_of_window(shape_of(tiny_model), round(mean)), rel=0.05)
    assert found["share"] == pytest.approx(found["flops"] / found["seconds"] / found["roof"])
    assert found["tokens_per_second"] == pytest.approx(found["prompt_tokens"] / found["seconds"])


def test_the_command_shows_a_table(tiny_model):
    done = CliRunner().invoke(
        bench, ["throughput", "--model", str(tiny_model), "--windows", "1", "--passages", "2"], catch_exceptions=False
    )
    assert "of the roof" in done.stdout
