"""A synthetic rule to learn, and recipes over the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstrank.training.config import Config

METALS = ["stone", "bronze", "silver", "gold"]
"""a passage's grade is that of the metal in it, 0 to 3"""
FILLER = ["the", "of", "and", "to", "in", "is", "on", "by", "as", "at"]


def rule(number: int, rng: np.random.Generator, passages: int, metals: tuple[int, ...], noise: float = 0.0) -> dict[str, Any]:
    """An example of the rule: one passage of each of the metals (by grade), and stones; a share of the grades is wrong."""
    grades = [*metals, *[0] * (passages - len(metals))]
    rng.shuffle(grades)
    shown = []
    for i, grade in enumerate(grades):
        words = [METALS[grade], *map(str, rng.choice(FILLER, 2))]
        rng.shuffle(words)
        shown.append({"docid": f"{number}-{i}", "text": " ".join(words)})
    if noise:
        grades = [int(rng.integers(len(METALS))) if rng.random() < noise else grade for grade in grades]
    return {"qid": f"q{number}", "query": "metal", "passages": shown, "grades": {p["docid"]: g for p, g in zip(shown, grades, strict=True)}}


def write_rule(path: Path, count: int, seed: int, passages: int = 5, metals: tuple[int, ...] = (3, 2, 1), noise: float = 0.0) -> Path:
    rng = np.random.default_rng(seed)
    path.write_text("".join(json.dumps(rule(i, rng, passages, metals, noise)) + "\n" for i in range(count)), encoding="utf-8")
    return path


def as_collection(examples: Path, folder: Path) -> dict[str, str]:
    """Examples as run, qrels, queries and corpus: what a recipe's `dev` takes."""
    folder.mkdir()
    lines = [json.loads(line) for line in examples.read_text().splitlines()]
    passages = [passage for line in lines for passage in line["passages"]]
    run = [f"{line['qid']} Q0 {p['docid']} {i} {-i} first\n" for line in lines for i, p in enumerate(line["passages"], 1)]
    qrels = [f"{line['qid']} 0 {docid} {grade}\n" for line in lines for docid, grade in line["grades"].items()]
    (folder / "run.txt").write_text("".join(run))
    (folder / "qrels.txt").write_text("".join(qrels))
    (folder / "queries.tsv").write_text("".join(f"{line['qid']}\t{line['query']}\n" for line in lines))
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": p["docid"], "text": p["text"]}) + "\n" for p in passages))
    names = {"run": "run.txt", "qrels": "qrels.txt", "queries": "queries.tsv", "corpus": "corpus.jsonl"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.fixture(scope="session")
def train_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rule(tmp_path_factory.mktemp("examples") / "train.jsonl", 40, seed=5)


@pytest.fixture
def recipe(tiny_model, train_file, tmp_path):
    """A recipe of a few steps over the tiny model; fields can be given."""

    def made(**fields: Any) -> Config:
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
        merged = plain | fields
        merged["tuning"] = {"precision": "float32"} | merged["tuning"]  # whatever units this machine's CPU has
        return Config.model_validate(merged)

    return made
