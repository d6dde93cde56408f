"""Two processes (gloo, CPU) and one take the same step on the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from tests.training.gradients import step
from training.config import Config

ROOT = Path(__file__).parents[2]


def in_processes(config: Config, file: Path, count: int) -> None:
    """The same in several processes, as a launcher would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tests.training.gradients", config.model_dump_json(), str(file)]
    running = []
    for rank in map(str, range(count)):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        running.append(subprocess.Popen(command, env=common | place, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT))
    for process in running:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors.decode()[-3000:]


def test_two_processes_give_the_gradient_of_one(recipe, tmp_path):
    settings = {"steps": 1, "optimiser": {"lr": 1e-3, "clip": 0}, "tuning": {"lora": {"rank": 4, "alpha": 8}}}
    batches = {name: {"windows": windows, "accumulation": 1} for name, windows in (("alone", 4), ("both", 2))}
    step(recipe(**settings, batch=batches["alone"], output=str(tmp_path / "run-alone")), str(tmp_path / "alone.pt"))
    in_processes(recipe(**settings, batch=batches["both"], output=str(tmp_path / "run-both")), tmp_path / "both.pt", 2)
    alone, both = (torch.load(tmp_path / f"{name}.pt") for name in batches)
    assert alone.keys() == both.keys()
    assert max(float(value.abs().max()) for value in alone.values()) > 1e-3
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=0, atol=1e-6)
