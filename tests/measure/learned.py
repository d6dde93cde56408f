"""How much of what a run's grades can teach has been learned, in parts of so many steps; for recipes with listnet.

    python tests/measure/learned.py RUN/config.yaml [--every 50]

Prints a JSON line for each part: means over its steps of the label logits' loss (rank), of the loss of equal logits on the very windows
that were drawn (chance) and of the least possible one, which is the grades' own entropy (floor); (chance - rank) / (chance - floor)
as `learned`; tokens, and tokens a second. RUN is the recipe's output, where config.yaml also holds what the command line changed. The run
may be going on. Runs of one process only.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.special import logsumexp, softmax

from firstrank.training.config import read_config
from firstrank.training.log import LOG, read_log
from firstrank.training.run import batch_size, open_model, total_steps
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.windows import Windows


def bounds(grades: tuple[float, ...], temperature: float) -> tuple[float, float]:
    """(chance, floor) of one window; its loss is 0 where all grades are equal."""
    if len(set(grades)) < 2:
        return 0.0, 0.0
    wanted = np.array(grades) / temperature
    return math.log(len(grades)), float(logsumexp(wanted) - softmax(wanted) @ wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--every", type=int, default=50, help="steps of a part")
    given = parser.parse_args()
    config = read_config(given.recipe)
    if config.loss.rank.name != "listnet" or config.log.every != 1:
        parser.error(f"{given.recipe}: only for loss.rank.name listnet, and a log of every step")
    temperature, size = float(config.loss.rank.options.get("temperature", 1.0)), batch_size(config, 1)
    examples = Examples(config.train)
    windows = Windows(config, open_model(config), examples, total_steps(config, len(examples)) * size)
    steps = [entry for entry in read_log(config.output / LOG) if "rank" in entry]
    for _, part in groupby(steps, lambda entry: (entry["step"] - 1) // given.every):
        entries = list(part)
        drawn = [windows[sample].grades for entry in entries for sample in range((entry["step"] - 1) * size, entry["step"] * size)]
        chance, floor = np.mean([bounds(grades, temperature) for grades in drawn], axis=0)
        rank = np.mean([entry["rank"] for entry in entries])
        tokens = sum(entry["tokens"] for entry in entries)
        took = entries[-1]["seconds"] - entries[0]["seconds"]
        print(
            json.dumps(
                {
                    "steps": [entries[0]["step"], entries[-1]["step"]],
                    "chance": round(float(chance), 3),
                    "floor": round(floor, 3),
                    "rank": round(float(rank), 3),
                    "learned": round(float((chance - rank) / (chance - floor)), 3),
                    "tokens": int(tokens),
                    "tokens_per_second": round((tokens - entries[0]["tokens"]) / took) if took > 0 else None,
                }
            )
        )


if __name__ == "__main__":
    main()
