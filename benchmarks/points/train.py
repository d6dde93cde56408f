"""Teaches a model to mark passages; the same command goes on where it stopped.

    python -m benchmarks.points.train LISTS RUN [--recipe benchmarks/points/default-gpu.yaml] [--steps 1200] [--threads 1]

Two windows a step unless a recipe says otherwise; the loss is ListNet's on the marks after layers 16 and 20, half of each. RUN gets
recipe.json, log.jsonl and checkpoint.pt. `learned` in the log is how far the last mark's loss has come from saying nothing (0) to the
grades' own entropy (1); on the lists that are held out it is `held`.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from itertools import repeat
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.arguments import parser_of
from benchmarks.points.reader import Reader, Recipe
from benchmarks.points.window import Window, Windows
from firstrank.training.losses.listnet import listnet
from firstrank.training.machine import prepare

EVERY, SAVED, HELD = 10, 20, 300
"""steps between lines of the log, checkpoints, and looks at the held-out lists"""
SIZED = 30
"""steps after which a recipe with `minutes` counts how many it has time for"""


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("points.train", __doc__)
    parser.add_argument("lists", help="what benchmarks.points.data has written")
    parser.add_argument("run", type=Path)
    parser.add_argument("--recipe", type=Path, help="a YAML file with fields of Recipe; what is said beside it goes before")
    parser.add_argument("--start", help="a model whose weights it begins from")
    parser.add_argument("--settings", help="a model whose template, layers and mark it is to have")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lowest", type=int, help="tuned layer, counted from 0")
    parser.add_argument("--marks", type=int, nargs="+", help="after these layers, counted from 1")
    parser.add_argument("--workers", type=int, help="processes that make windows ready")
    parser.add_argument("--threads", type=int)
    options = vars(parser.parse_args(words))
    prepare(options.pop("threads"))
    run, file = options.pop("run"), options.pop("recipe")
    train(recipe_of({**({} if file is None else read_recipe(file)), **{name: it for name, it in options.items() if it is not None}}), run)


def read_recipe(file: Path) -> dict[str, Any]:
    """A file's fields. Exits with a sentence where it has others than a recipe's."""
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    known = {one.name for one in fields(Recipe)} - {"lists"}
    if not isinstance(said, dict) or (unknown := said.keys() - known):
        other = "no mapping" if not isinstance(said, dict) else ", ".join(sorted(unknown))
        raise SystemExit(f"{file}: {other}: give fields of a recipe: {', '.join(sorted(known))}")
    return said


def recipe_of(said: dict[str, Any]) -> Recipe:
    """As JSON or YAML has it, where there are no tuples."""
    return Recipe(**{**said, **({"marks": tuple(said["marks"])} if "marks" in said else {})})


def train(recipe: Recipe, run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    said = json.dumps(asdict(recipe))
    if (run / "recipe.json").exists() and (run / "recipe.json").read_text() != said:
        raise SystemExit(f"{run}: was begun by another recipe ({run / 'recipe.json'}): give the same options, or another folder")
    (run / "recipe.json").write_text(said)
    reader = Reader(recipe)
    windows = Windows(Path(recipe.lists), reader.model, reader.settings)
    optimiser = torch.optim.AdamW(reader.moving, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)
    first, seen = restored(run, reader, optimiser)
    told: list[float] = []
    begun = time.monotonic()
    with (run / "log.jsonl").open("a") as log:
        for step, many in enumerate(drawn(windows, recipe, first), first + 1):
            optimiser.param_groups[0]["lr"] = rate(recipe, step - 1)
            each = [one for start in range(0, len(many), recipe.together) for one in learn(reader, many[start:][: recipe.together], recipe)]
            norm = torch.nn.utils.clip_grad_norm_(reader.moving, 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            told += map(learned, torch.stack(each).tolist(), many, repeat(recipe))
            seen += sum(len(one.header) + sum(map(len, one.suffixes)) for one in many)
            if step - first == SIZED:
                recipe = within_time(recipe, step, time.monotonic() - begun)
            last = step >= recipe.steps
            if step % EVERY == 0 or last:
                write(log, step=step, learned=fmean(told), norm=float(norm), tokens=seen, seconds=time.monotonic() - begun)
                told = []
            if step % SAVED == 0 or last:
                save(run, reader, optimiser, step, seen)
            if step % HELD == 0 or last:
                write(log, step=step, held=held_out(reader, windows, recipe), tokens=seen)
            if last:
                break


def drawn(windows: Windows, recipe: Recipe, first: int) -> Iterator[list[Window]]:
    """The windows of each step from the `first` on, as they were if none had gone before."""
    from torch.utils.data import DataLoader

    numbers: Any = range(first * recipe.windows, recipe.steps * recipe.windows)
    ready = DataLoader(Numbered(windows, numbers), recipe.windows, num_workers=recipe.workers, collate_fn=list)
    yield from ready


class Numbered:
    """Windows by their numbers, for processes that make them ready."""

    def __init__(self, windows: Windows, numbers: Sequence[int]) -> None:
        self._windows, self._numbers = windows, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> Window:
        return self._windows.train(self._numbers[place])


def learn(reader: Reader, windows: Sequence[Window], recipe: Recipe) -> list[Tensor]:
    """Adds to the gradients what some of a step's windows give. Returns each window's loss of the last mark."""
    each = [losses(marks, windows, recipe) for marks in reader.marks(windows)]
    (torch.stack(each).sum() * recipe.weight / recipe.windows).backward()
    return list(each[-1].detach())


def losses(marks: Sequence[Tensor], windows: Sequence[Window], recipe: Recipe) -> Tensor:
    """[windows]: cross-entropy with the softmax of the grades."""
    found = pad_sequence(list(marks), batch_first=True)
    grades, mask = (
        pad_sequence([torch.tensor(values) for values in lists], batch_first=True).to(found.device)
        for lists in ([one.grades for one in windows], [[True] * len(one.grades) for one in windows])
    )
    return listnet(found, grades, mask, temperature=recipe.temperature)


def within_time(recipe: Recipe, step: int, seconds: float) -> Recipe:
    """Fewer steps, where at this pace they would take longer than the recipe's minutes."""
    if recipe.minutes is None:
        return recipe
    return replace(recipe, steps=min(recipe.steps, step + max(1, int((60 * recipe.minutes - seconds) * SIZED / seconds))))


def learned(found: float, window: Window, recipe: Recipe) -> float:
    """The share of what the grades tell beyond chance."""
    wanted = torch.softmax(torch.tensor(window.grades) / recipe.temperature, 0)
    entropy = float(-(wanted * wanted.log()).sum())
    chance = math.log(len(wanted))
    return (chance - found) / (chance - entropy)


@torch.no_grad()
def held_out(reader: Reader, windows: Windows, recipe: Recipe) -> float:
    return fmean(learned(float(losses(reader.marks([one])[-1], [one], recipe)), one, recipe) for one in windows.held_out())


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
    state = torch.load(run / "checkpoint.pt", weights_only=True, map_location="cpu")
    with torch.no_grad():
        for one, kept in zip(reader.moving, state["adapter"], strict=True):
            one.copy_(kept)
    if optimiser is not None:
        optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["tokens"]


if __name__ == "__main__":
    sys.exit(main())
