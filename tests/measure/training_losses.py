"""Every ranking loss on the synthetic rule, one after another: nDCG@10 on held-out lists, by `reranker` itself.

    python -m tests.measure.training_losses [STEPS]

Prints a table: the first stage (random order), and what a two-layer model with random weights has learned after STEPS steps of 16
windows of 8 passages.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.conftest import make_tiny_model
from tests.training.test_learning import learned
from training.losses import NAMES


def main(steps: int) -> None:
    print("| loss | first stage | nDCG@10 | seconds of training |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        model = make_tiny_model(Path(scratch) / "tiny")
        for name in NAMES:
            folder = Path(scratch) / name
            folder.mkdir()
            chance, found, seconds = learned(name, model, folder, steps=steps)
            print(f"| `{name}` | {chance:.4f} | {found:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 250)
