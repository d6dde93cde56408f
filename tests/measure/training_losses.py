"""Every ranking loss on the synthetic rule, one after another, each through `firstrank train` and `firstrank rerank`.

    python -m tests.measure.training_losses [STEPS [SEEDS [LOSS …]]]

Prints a table: what a two-layer model with random weights has learned after STEPS steps (600) of 16 windows of 6 passages: the
mean over SEEDS seeds (1) and the least of them, on 40 lists that it was not trained on. CPU seconds are those of both commands.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from firstrank.training.losses import NAMES
from tests.conftest import make_tiny_model
from tests.training.test_learning import Learned, learned


def main(steps: int, seeds: int, losses: list[str]) -> None:
    print("| loss | first stage | nDCG@10 | least | best passage first | CPU s |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        model = make_tiny_model(Path(scratch) / "tiny")
        for loss in losses:
            started = time.process_time()
            found = [_one(loss, model, Path(scratch) / f"{loss}-{seed}", steps, seed) for seed in range(seeds)]
            print(_row(loss, found, (time.process_time() - started) / seeds), flush=True)


def _one(loss: str, model: Path, folder: Path, steps: int, seed: int) -> Learned:
    folder.mkdir()
    return learned(loss, model, folder, steps=steps, seed=seed)


def _row(loss: str, found: list[Learned], seconds: float) -> str:
    chance, ndcg, best, _ = (sum(values) / len(found) for values in zip(*found, strict=True))
    return f"| `{loss}` | {chance:.3f} | {ndcg:.3f} | {min(each.ndcg for each in found):.3f} | {best:.3f} | {seconds:.1f} |"


if __name__ == "__main__":
    steps, seeds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 600), (2, 1)))
    main(steps, seeds, sys.argv[3:] or list(NAMES))
