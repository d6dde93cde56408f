"""A tiny model of random weights learns a synthetic rule: `firstrank train RECIPE`, then `firstrank rerank` with what it left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from reranker.cli import app
from tests.training.conftest import as_collection, write_rule
from training.journal import read_log
from training.losses import NAMES

QUICK = {"lambdarank": 120, "plistmle": 120}
"""steps that suffice"""
PASSAGES = 10


class Learned(NamedTuple):
    chance: float
    """nDCG@10 of the first stage, whose order is random"""
    found: float
    """nDCG@10 of the exported model"""
    seconds: float
    """of training"""


def firstrank(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def learned(loss: str, model: Path, folder: Path, *, steps: int, seed: int = 0) -> Learned:
    """`softmax` looks at the first place alone, and is judged by it: its qrels know the best passage of each list and no other."""
    held_out = as_collection(write_rule(folder / "dev.jsonl", 40, seed=1, passages=PASSAGES), folder / "dev", best_only=loss == "softmax")
    train = write_rule(folder / "train.jsonl", 1000, seed=2, passages=PASSAGES)
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(_recipe(loss, model, train, folder / "run", seed)))
    firstrank("train", recipe, f"steps={steps}")
    given = [f"--{name}={path}" for name, path in held_out.items()]
    summary = firstrank("rerank", "--model", folder / "run" / "model", *given, "--output", folder / "out.trec", "--device=cpu", "--json")
    measured = json.loads(summary)["measures"]["nDCG@10"]
    seconds = read_log(folder / "run" / "log.jsonl")[-1]["seconds"]
    return Learned(measured["first stage"], measured["reranked"], seconds)


def _recipe(loss: str, model: Path, train: Path, output: Path, seed: int) -> dict[str, Any]:
    return {
        "model": str(model),
        "template": {"before": "", "passage": "{text} [{label}]\n", "after": "", "answer": "["},
        "context": 1024,
        "train": str(train),
        "output": str(output),
        "seed": seed,
        "threads": int(os.environ.get("OMP_NUM_THREADS", 2)),
        "loss": {"rank": {"name": loss, "weight": 1.0}, "lm": {"weight": 0}},
        "tuning": {"method": "full"},
        "optimiser": {"lr": 3e-3, "schedule": "cosine", "warmup": 20},
        "batch": {"windows": 16, "accumulation": 1},
        "checkpoints": {"every": 10_000, "keep": 1},
    }


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("loss", QUICK)
def test_a_tiny_model_learns_the_rule(loss, tiny_model, tmp_path):
    chance, found, _ = learned(loss, tiny_model, tmp_path, steps=QUICK[loss])
    assert chance < 0.65
    assert found > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("loss", NAMES)
def test_every_loss_learns_the_rule(loss, tiny_model, tmp_path):
    chance, found, seconds = learned(loss, tiny_model, tmp_path, steps=600)
    print(json.dumps({"loss": loss, "chance": round(chance, 4), "nDCG@10": round(found, 4), "seconds": round(seconds, 1)}))
    assert chance < 0.65
    assert found > 0.95
    assert seconds < 180
