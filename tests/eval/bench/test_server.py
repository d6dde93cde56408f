"""`firstrank bench throughput --server`, end to end with a real process; rates are never asserted: machines differ."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from firstrank.eval.bench import server
from firstrank.eval.bench.server import ServiceFigures, measure_server
from firstrank.eval.commands.bench import bench
from firstrank.reranker.errors import FirstrankError


def test_the_command_serves_and_compares(tiny_model, tmp_path):
    arguments = [
        "throughput",
        "--server",
        "--model",
        str(tiny_model),
        "--depth",
        "4",
        "--requests",
        "4",
        "--clients",
        "3",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(bench, [*arguments, "--json", "--output", str(tmp_path / "new")], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert json.loads((tmp_path / "new/server.json").read_text()) == found
    assert (found["depth"], found["requests"], found["clients"], found["windows"]) == (4, 4, 3, 1)
    assert found["overhead_ms"] == pytest.approx(found["http_ms"] - found["direct_ms"])
    assert len(found["shares"]) == 5
    assert all(found[rate] > 0 for rate in ("offline", "served", "direct_ms", "http_ms"))


def test_the_command_shows_a_table(monkeypatch):
    found = ServiceFigures("tiny", 2, 20, 4, 10.0, 12.5, 64, 128, 40.0, 36.0, (0.9,))
    monkeypatch.setattr(server, "measure_server", lambda *_, **__: found)
    done = CliRunner().invoke(bench, ["throughput", "--server"], catch_exceptions=False)
    assert "12.50 ms over HTTP, 10.00 ms direct: +2.50 ms" in done.stdout
    assert "36 windows/s, 40 offline: 0.900" in done.stdout


def test_a_service_that_does_not_start_says_why():
    with pytest.raises(FirstrankError, match="nowhere"):
        measure_server("/nowhere", {}, requests=1)
