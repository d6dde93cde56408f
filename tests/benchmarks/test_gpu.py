"""What is measured on a GPU: the script with tiny shapes, and what keeps a run's figures when a part of it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.gpu import goals, parity, run, sizing
from benchmarks.gpu.networks import POINTS, described, loaded, on, requests_of
from benchmarks.gpu.plan import SHAPES, SMOKE, Plan, Stage
from benchmarks.gpu.speed import strategies

ROOT = Path(__file__).parents[2]


@pytest.mark.gpu
def test_all_stages_with_tiny_shapes(tmp_path):
    """As on a GPU, in one command: each stage has rows, none failed, and what is printed is on disk in both forms."""
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = ["bash", "benchmarks/gpu/run.sh", "--smoke", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = json.loads((tmp_path / "gpu.json").read_text())["tables"]
    assert list(tables) == [*(stage.name for stage in run.STAGES), "goals"]
    assert not [row for rows in tables.values() for row in rows if "failed" in row or "stopped" in row]
    assert {row["clients"] for row in tables["latency"]} == set(SMOKE.clients)
    assert [row["asked"] for row in tables["service"]] == ["in process", "over HTTP"]
    assert all(row["share of roof"] > 0 for row in tables["throughput"] if row["numbers"] == "bfloat16")
    assert all(row["holds"] == "yes" for row in tables["parity"] if "holds" in row)
    shown = (tmp_path / "gpu.md").read_text()
    assert all(f"## {name}" in shown for name in tables)


@pytest.mark.gpu
def test_training_with_tiny_shapes():
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "benchmarks/gpu/train.sh", "--smoke"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| tiny")]
    assert [row[2].strip() for row in rows] == ["now", "full", "full-bfloat16"]
    assert all(float(row[3]) > 0 and float(row[4]) > 0 for row in rows)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["step"] == 1
    assert last["loss"] > 0


def test_a_stage_that_fails_or_takes_too_long_leaves_its_rows_and_the_other_stages(tmp_path, monkeypatch, capsys):
    def breaks(plan, roofs):
        yield {"figure": 1}
        raise RuntimeError("no | such\nkernel")

    def hangs(plan, roofs):
        yield {"figure": 2}
        time.sleep(60)

    def counts(plan, roofs):
        yield {"numbers": "bfloat16", "Tflop/s": 2.5}
        yield {"roof": roofs["bfloat16"]}

    monkeypatch.setattr(run, "STAGES", (Stage("a", "", 9, breaks), Stage("b", "", 0.05, hangs), Stage("c", "", 9, counts)))
    monkeypatch.setattr(run, "on", lambda plan: Plan("cuda"))
    assert run.main(["--output", str(tmp_path)]) == 1
    tables = json.loads((tmp_path / "gpu.json").read_text())["tables"]
    assert tables["a"] == [{"figure": 1}, {"failed": "RuntimeError: no | such\nkernel"}]
    assert tables["b"] == [{"figure": 2}, {"stopped": "after 0.05 s"}]
    assert tables["c"][1] == {"roof": 2.5e12}
    assert "no \\| such kernel" in (tmp_path / "gpu.md").read_text()


def test_parity_with_weights_that_are_here(tiny_model, monkeypatch):
    """Another network than the random one; its large weights make bf16 coarse."""
    monkeypatch.setattr(parity, "REAL", str(tiny_model))
    monkeypatch.setattr(parity, "cached", lambda spec: True)
    found = list(parity.rows(replace(on(SMOKE), parity=(), weights=True), {}))
    assert [row["holds"] for row in found[:2]] == ["yes", "yes"]
    assert found[0]["difference"] < found[1]["difference"] < found[2]["difference"]


def test_goals_stand_beside_what_was_measured():
    latency = [{"shape": "Qwen3-0.6B", "strategy": "one window of 20", "clients": clients, "p95 ms": 17.0 * clients} for clients in (8, 1)]
    throughput = [{"shape": "Mistral-7B", "strategy": "one window of 20", "numbers": "bfloat16", "share of roof": 0.44}]
    found = {row["goal"]: (row["measured"], row.get("met")) for row in goals.rows({"latency": latency, "throughput": throughput})}
    assert list(found.values()) == [(17.0, "yes"), ("not measured", None), (0.44, "no"), ("not measured", None)]
    names = {stage.name for stage in run.STAGES}
    assert all(goal.table in names and goal.where.get("shape") in SHAPES for goal in goals.GOALS)
    assert next(strategies(Plan("cpu")))[0] == goals.WINDOW


def test_without_a_gpu_it_says_how_to_try_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no GPU here: say --smoke"):
        run.main(["--output", str(tmp_path)])


@pytest.mark.parametrize("settings", [None, POINTS])
def test_prompts_have_the_sizes_that_the_plan_says(settings, tmp_path):
    """Of real shapes: windows of 20 passages of 100 tokens, and labels for 100."""
    model = loaded(described("Qwen3-0.6B", tmp_path, settings) if settings else described("Qwen3-0.6B", tmp_path))
    plan = Plan("cpu")
    [request] = islice(requests_of(plan, plan.candidates), 1)
    if settings:
        assert {len(ids) - len(model.pointwise.tail) for ids in model.pointwise.encode(request).suffixes} == {100}
        return
    encoded = model.prompter.encode(request)
    assert encoded.max_window >= 100
    assert len(model.prompter.label_ids(100)) == 100
    assert 2000 < len(encoded.prompt(range(20))) < 2400


@pytest.mark.parametrize("shape", ["SmolLM2-135M", "Qwen3-0.6B", "Mistral-7B"])
def test_parameters_are_those_of_the_networks(shape, tmp_path):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(described(shape, tmp_path)))
    total = sum(weight.numel() for name, weight in network.named_parameters() if "norm" not in name)
    assert total == SHAPES[shape].layer_parameters + SHAPES[shape].end_parameters


def test_the_page_has_the_sizes_that_are_computed():
    assert sizing.tables() in sizing.PAGE.read_text(encoding="utf-8"), "python -m benchmarks.gpu.sizing --write"
