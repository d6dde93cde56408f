"""A synthetic rule to learn, and recipes over the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.config import Config

WORDS = "apple river stone cloud tiger piano bread clock field lemon".split()
FILLER = "the of and to in is on by as at".split()


def rule(number: int, rng: np.random.Generator, passages: int = 5) -> dict:
    """A passage's grade is how often it holds the query's word, 0 to 3."""
    word = str(rng.choice(WORDS))
    grades = [*(int(grade) for grade in rng.integers(0, 3, passages - 1)), 3]
    rng.shuffle(grades)
    shown = []
    for i, grade in enumerate(grades):
        text = [word] * grade + [str(w) for w in rng.choice(FILLER, 4 - grade)]
        rng.shuffle(text)
        shown.append({"docid": f"{number}-{i}", "text": " ".join(text)})
    return {"qid": str(number), "query": word, "passages": shown, "grades": {p["docid"]: g for p, g in zip(shown, grades, strict=True)}}


def write_rule(path: Path, count: int, seed: int, passages: int = 5) -> Path:
    rng = np.random.default_rng(seed)
    path.write_text("".join(json.dumps(rule(i, rng, passages)) + "\n" for i in range(count)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def train_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rule(tmp_path_factory.mktemp("examples") / "train.jsonl", 40, seed=5)


@pytest.fixture
def recipe(tiny_model, train_file, tmp_path):
    """A recipe of a few steps over the tiny model; fields can be given."""

    def made(**fields) -> Config:
        plain = {
            "model": str(tiny_model),
            "template": "compact",
            "context": 1024,
            "train": str(train_file),
            "output": str(tmp_path / "run"),
            "steps": 6,
            "threads": 1,
            "draw": {"window": [2, 5]},
            "loss": {"rank": {"name": "weighted_ranknet", "weight": 10}, "lm": {"weight": 1}},
            "tuning": {"lora": {"rank": 4, "alpha": 8, "dropout": 0.1}},
            "optimiser": {"lr": 1e-3},
            "batch": {"windows": 2, "accumulation": 2},
            "checkpoints": {"every": 2},
        }
        return Config.model_validate(plain | fields)

    return made
