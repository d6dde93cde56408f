"""A tiny model of random weights learns a synthetic rule; nDCG@10 is measured by `reranker` itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.training.conftest import as_collection, write_rule
from training.config import Config
from training.dev import DevSet
from training.journal import read_log
from training.losses import NAMES
from training.run import train

QUICK = ("lambdarank", "plistmle")


def learned(name: str, tiny_model: Path, folder: Path, *, steps: int = 250) -> tuple[float, float, float]:
    """nDCG@10 of the first stage (chance) and at the end, and the seconds that training took."""
    held_out = as_collection(write_rule(folder / "dev.jsonl", 40, seed=1, passages=8), folder / "dev")
    config = Config.model_validate(
        {
            "model": str(tiny_model),
            "template": {"before": "", "passage": "{text} [{label}]\n", "after": "", "answer": "["},
            "context": 1024,
            "train": str(write_rule(folder / "train.jsonl", 1000, seed=2, passages=8)),
            "output": str(folder / "run"),
            "steps": steps,
            "threads": int(os.environ.get("OMP_NUM_THREADS", 2)),
            "loss": {"rank": {"name": name, "weight": 1.0}, "lm": {"weight": 0}},
            "tuning": {"method": "full"},
            "optimiser": {"lr": 3e-3, "schedule": "cosine", "warmup": 20},
            "batch": {"windows": 16, "accumulation": 1},
            "dev": held_out | {"every": steps},
            "checkpoints": {"every": steps, "keep": 1},
        }
    )
    assert config.dev is not None
    train(config)
    log = read_log(config.output / "log.jsonl")
    return DevSet(config.dev).first_stage(), log[-1]["ndcg@10"], log[-1]["seconds"]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_tiny_model_learns_the_rule(name, tiny_model, tmp_path):
    chance, found, _ = learned(name, tiny_model, tmp_path)
    assert chance < 0.8
    assert found > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_learns_the_rule(name, tiny_model, tmp_path):
    chance, found, seconds = learned(name, tiny_model, tmp_path)
    print(json.dumps({"loss": name, "first stage": round(chance, 4), "nDCG@10": round(found, 4), "seconds": round(seconds, 1)}))
    assert chance < 0.8
    assert found > 0.95
    assert seconds < 180
