"""Teaches a model to mark passages; the same command goes on where it stopped.

    python -m benchmarks.points.train LISTS RUN [--steps 1200] [--threads 1]

Two windows a step; the loss is ListNet's on the marks after layers 16 and 20, half of each. RUN gets recipe.json, log.jsonl and
checkpoint.pt. `learned` in the log is how far the last mark's loss has come from saying nothing (0) to the grades' own entropy (1); on the
lists that are held out it is `held`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.arguments import parser_of
from benchmarks.points.reader import Reader, Recipe
from benchmarks.points.window import Window, Windows
from firstrank.training.losses.listnet import listnet
from firstrank.training.machine import prepare

EVERY, SAVED, HELD = 10, 20, 300
"""steps between lines of the log, checkpoints, and looks at the held-out lists"""


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("points.train", __doc__)
    parser.add_argument("lists", help="what benchmarks.points.data has written")
    parser.add_argument("run", type=Path)
    parser.add_argument("--start", default=Recipe.start, help="a model whose weights it begins from")
    parser.add_argument("--settings", default=Recipe.settings, help="a model whose template, layers and mark it is to have")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--lowest", type=int, default=Recipe.lowest, help="tuned layer, counted from 0")
    parser.add_argument("--marks", type=int, nargs="+", default=Recipe.marks, help="after these layers, counted from 1")
    parser.add_argument("--threads", type=int)
    options = vars(parser.parse_args(words))
    prepare(options.pop("threads"))
    run = options.pop("run")
    train(Recipe(**{**options, "marks": tuple(options["marks"])}), run)


def train(recipe: Recipe, run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    said = json.dumps(asdict(recipe))
    if (run / "recipe.json").exists() and (run / "recipe.json").read_text() != said:
        raise SystemExit(f"{run}: was begun by another recipe ({run / 'recipe.json'}): give the same options, or another folder")
    (run / "recipe.json").write_text(said)
    reader = Reader(recipe)
    windows = Windows(Path(recipe.lists), reader.model, reader.settings)
    optimiser = torch.optim.AdamW(reader.moving, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)
    step, seen = restored(run, reader, optimiser)
    told: list[float] = []
    with (run / "log.jsonl").open("a") as log:
        while step < recipe.steps:
            optimiser.param_groups[0]["lr"] = rate(recipe, step)
            many = [windows.train(step * recipe.windows + i) for i in range(recipe.windows)]
            for one in many:
                each = [loss(mark, one, recipe) for mark in reader.marks(one)]
                (torch.stack(each).sum() * recipe.weight / recipe.windows).backward()
                told.append(learned(each[-1].detach(), one, recipe))
            norm = torch.nn.utils.clip_grad_norm_(reader.moving, 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step, seen = step + 1, seen + sum(len(one.header) + sum(map(len, one.suffixes)) for one in many)
            if step % EVERY == 0 or step == recipe.steps:
                write(log, step=step, learned=fmean(told), norm=float(norm), tokens=seen)
                told = []
            if step % SAVED == 0 or step == recipe.steps:
                save(run, reader, optimiser, step, seen)
            if step % HELD == 0 or step == recipe.steps:
                write(log, step=step, held=held_out(reader, windows, recipe), tokens=seen)


def loss(marks: Tensor, window: Window, recipe: Recipe) -> Tensor:
    """Cross-entropy with the softmax of the grades."""
    grades = torch.tensor([window.grades])
    return listnet(marks[None], grades, torch.ones_like(grades, dtype=torch.bool), temperature=recipe.temperature)[0]


def learned(found: Tensor, window: Window, recipe: Recipe) -> float:
    """The share of what the grades tell beyond chance."""
    wanted = torch.softmax(torch.tensor(window.grades) / recipe.temperature, 0)
    entropy = float(-(wanted * wanted.log()).sum())
    chance = math.log(len(wanted))
    return (chance - float(found)) / (chance - entropy)


@torch.no_grad()
def held_out(reader: Reader, windows: Windows, recipe: Recipe) -> float:
    return fmean(learned(loss(reader.marks(one)[-1], one, recipe), one, recipe) for one in windows.held_out())


def rate(recipe: Recipe, step: int) -> float:
    """Rises over the first steps, stands, and falls to 0 over the last."""
    return recipe.lr * min(1.0, (step + 1) / recipe.warmup, (recipe.steps - step) / recipe.fall)


def write(log: Any, **line: float) -> None:
    said = json.dumps({name: round(value, 4) for name, value in line.items()})
    print(said, file=log, flush=True)
    print(said, flush=True)


def save(run: Path, reader: Reader, optimiser: torch.optim.Optimizer, step: int, seen: int) -> None:
    state = {"step": step, "tokens": seen, "adapter": [one.detach() for one in reader.moving], "optimiser": optimiser.state_dict()}
    torch.save(state, run / "checkpoint.part")
    (run / "checkpoint.part").replace(run / "checkpoint.pt")


def restored(run: Path, reader: Reader, optimiser: torch.optim.Optimizer | None = None) -> tuple[int, int]:
    """Puts a checkpoint's weights in place, if there is one; gives its step and the tokens seen."""
    if not (run / "checkpoint.pt").exists():
        return 0, 0
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    with torch.no_grad():
        for one, kept in zip(reader.moving, state["adapter"], strict=True):
            one.copy_(kept)
    if optimiser is not None:
        optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["tokens"]


if __name__ == "__main__":
    sys.exit(main())
