"""A tiny model of random weights learns a synthetic rule: `firstrank train RECIPE`, then `firstrank rerank` with what it left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import read_run
from firstrank.training.log import read_log
from firstrank.training.losses import NAMES
from tests.training.conftest import METALS, as_collection, write_rule

PASSAGES = 6
QUICK = ("lambdarank", "plistmle")
STEPS = dict.fromkeys(NAMES, 160) | {"approx_ndcg": 400, "dice": 400}
"""of 16 windows each; after 160 `approx_ndcg` had 0.94 and `dice` 0.86"""
METALS_OF = dict.fromkeys(("softmax", "generalised_cross_entropy", "dice"), (3,))
"""what looks at the best says nothing of the others: its lists have one passage of gold, and stones"""


class Learned(NamedTuple):
    """Over 40 lists that were not trained on."""

    chance: float
    """nDCG@10 of the first stage, whose order is random"""
    ndcg: float
    """nDCG@10 of the exported model"""
    best_first: float
    """share of lists that it begins with the best passage; chance is 1 / PASSAGES"""
    seconds: float
    """of training"""


def learned(
    loss: str,
    model: Path,
    folder: Path,
    *,
    steps: int,
    seed: int = 0,
    sections: dict[str, Any] | None = None,
    noise: float = 0.0,
    said: tuple[str, ...] = (),
) -> Learned:
    """With the loss at its default λ and the LM loss beside it; `sections` are of the recipe's `loss`, in place of its own, and what is
    `said` of other keys comes last."""
    lists = {"passages": PASSAGES, "metals": METALS_OF.get(loss, (3, 2, 1))}
    dev = as_collection(write_rule(folder / "dev.jsonl", 40, seed=1, **lists), folder / "dev")
    train = write_rule(folder / "train.jsonl", 1000, seed=2, noise=noise, **lists)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(_recipe({"rank": {"name": loss}} | (sections or {}), model, train, folder / "run", dev | {"every": steps}, seed))
    )
    _firstrank("train", recipe, f"steps={steps}", f"checkpoints.every={steps}", *said)
    given = [f"--{name}={path}" for name, path in dev.items()]
    output = folder / "out.trec"
    summary = _firstrank("rerank", "--model", folder / "run" / "model", *given, "--output", output, "--device=cpu", "--json")
    measured, last = json.loads(summary)["measures"]["nDCG@10"], read_log(folder / "run" / "log.jsonl")[-1]
    assert measured["reranked"] == pytest.approx(last["ndcg@10"], abs=1e-9), "the dev score is that of the exported model"
    judged = read_qrels(dev["qrels"])
    first = [judged[qid][ranked.docids[0]] for qid, ranked in read_run(output).items()]
    best_first = sum(grade == len(METALS) - 1 for grade in first) / len(first)
    return Learned(measured["first stage"], measured["reranked"], best_first, last["seconds"])


def _firstrank(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def _recipe(loss: dict[str, Any], model: Path, train: Path, output: Path, dev: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        "model": str(model),
        "template": {"before": "", "passage": "{text} [{label}]\n", "after": "", "answer": "["},
        "context": 1024,
        "train": str(train),
        "output": str(output),
        "seed": seed,
        "threads": int(os.environ.get("OMP_NUM_THREADS", 2)),
        "loss": loss,
        "tuning": {"method": "full", "precision": "float32"},
        "optimiser": {"lr": 3e-3, "schedule": "cosine", "warmup": 20},
        "batch": {"windows": 16, "accumulation": 1},
        "dev": dev,
        "checkpoints": {"keep": 1},
    }


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("loss", QUICK)
def test_a_tiny_model_learns_the_rule(loss, tiny_model, tmp_path):
    """By the ranking loss alone."""
    found = learned(loss, tiny_model, tmp_path, steps=STEPS[loss], sections={"rank": {"name": loss}, "lm": {"weight": 0}})
    assert found.chance < 0.75
    assert found.ndcg > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("loss", NAMES)
def test_every_loss_learns_the_rule(loss, tiny_model, tmp_path):
    """At its default λ, with the LM loss beside it."""
    found = learned(loss, tiny_model, tmp_path, steps=STEPS[loss])
    print(json.dumps({"loss": loss} | {name: round(value, 4) for name, value in found._asdict().items()}))
    assert found.chance < 0.75
    assert found.ndcg > 0.95
    assert found.seconds < 180


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "probe", "steps", "least"),
    [(0, {"weight": 10}, 160, 0.95), (10, {"distill": 0.5}, 260, 0.9)],
    ids=["by grades, without the layers above", "by the label logits alone"],
)
def test_marks_learn_the_rule_and_the_exported_model_ranks_by_them(labels, probe, steps, least, tiny_model, tmp_path):
    """They had 0.998 and 0.956: what the label logits do not know yet they cannot teach."""
    sections = {"rank": {"name": "lambdarank", "weight": labels}, "lm": {"weight": 0}, "probe": probe | {"layer": 1}}
    found = learned("lambdarank", tiny_model, tmp_path, steps=steps, sections=sections, said=("answer=marks",))
    assert found.chance < 0.75
    assert found.ndcg > least
