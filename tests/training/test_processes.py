"""Two processes (gloo, CPU) and one take the same steps on the same global batches, whole weights or sharded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from firstrank.training.run import train
from tests.training.gradients import step
from tests.training.interrupted import curve
from tests.training.sharded import environment

ROOT = Path(__file__).parents[2]


def in_processes(count: int, module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
    """Runs a module in several processes, as a launcher would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    running = []
    for rank in map(str, range(count)):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=common | place | dict(environ or {}),
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
            )
        )
    for process in running:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors.decode()[-3000:]


def test_two_processes_give_the_gradient_of_one(recipe, tmp_path):
    settings = {"steps": 1, "optimiser": {"lr": 1e-3, "clip": 0}, "tuning": {"lora": {"rank": 4, "alpha": 8}}}
    settings["loss"] = {"rank": {"weight": 1}}  # 10 makes gradients of 3, whose last bit is 2e-7
    batches = {name: {"windows": windows, "accumulation": 1} for name, windows in (("alone", 4), ("both", 2))}
    step(recipe(**settings, batch=batches["alone"], output=str(tmp_path / "run-alone")), str(tmp_path / "alone.pt"))
    both = recipe(**settings, batch=batches["both"], output=str(tmp_path / "run-both"))
    in_processes(2, "tests.training.gradients", both.model_dump_json(), str(tmp_path / "both.pt"))
    alone, both = (torch.load(tmp_path / f"{name}.pt") for name in batches)
    assert alone.keys() == both.keys()
    assert max(float(value.abs().max()) for value in alone.values()) > 1e-3
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_lisa_in_two_processes_is_lisa_in_one(recipe, tmp_path):
    """The third step's gradient, where other layers move than at the first."""
    settings = {
        "seed": 2,
        "steps": 3,
        "optimiser": {"lr": 1e-3, "clip": 0},
        "tuning": {"method": "lisa", "lisa": {"layers": 1, "every": 1}},
    }
    alone = recipe(**settings, batch={"windows": 4, "accumulation": 1}, output=str(tmp_path / "alone"))
    both = recipe(**settings, batch={"windows": 2, "accumulation": 1}, output=str(tmp_path / "both"))
    step(alone, str(tmp_path / "alone.pt"))
    in_processes(2, "tests.training.gradients", both.model_dump_json(), str(tmp_path / "both.pt"))
    mine, theirs = torch.load(tmp_path / "both.pt"), torch.load(tmp_path / "alone.pt")
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_sharded_over_two_processes_are_trained_and_exported_as_whole_ones(method, recipe, tmp_path):
    """FSDP2 with the shipped configuration: the losses, and what stands in `model/` and `adapter/` at the end."""
    settings = {"steps": 3, "optimiser": {"lr": 1e-3}, "tuning": {"method": method, "lora": {"rank": 4, "alpha": 8}}}
    alone = recipe(**settings, batch={"windows": 4, "accumulation": 1}, output=str(tmp_path / "alone"))
    both = recipe(**settings, batch={"windows": 2, "accumulation": 1}, output=str(tmp_path / "both"))
    train(alone)
    in_processes(2, "tests.training.sharded", both.model_dump_json(), environ=environment())
    for mine, theirs in zip(curve(both), curve(alone), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    files = ["model/model.safetensors", *(["adapter/adapter_model.safetensors"] if method == "lora" else [])]
    for file in files:
        mine, theirs = load_file(both.output / file), load_file(alone.output / file)
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(mine[name], value, rtol=0, atol=1e-5)
