"""What the training losses teach and cost.

    python -m benchmarks.losses rule [--steps 600] [--seeds 1] [--losses listnet …] [--noise 0.2]
    python -m benchmarks.losses pulls [--lists 64]
    python -m benchmarks.losses memory [--tokens 2048] [--vocabulary 152064] [--hidden 256]

Prints a table of what was learned or of how hard each loss pulls, or both peaks of memory and their share.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.arguments import add_question, parser_of
from benchmarks.memory import resident
from firstrank.training.lm import Head, token_losses
from firstrank.training.losses import NAMES, loss_of
from firstrank.training.losses.unit import unit_of

if TYPE_CHECKING:
    from tests.training.test_learning import Learned

ROOT = Path(__file__).parents[1]
_BASE = "weighted_ranknet"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in NAMES} | {
    "LM alone": (_BASE, {"rank": {"weight": 0}}),
    "LM alone, ties first-stage": (_BASE, {"rank": {"weight": 0}, "lm": {"ties": "first-stage"}}),
    "LM alone, ties likeliest": (_BASE, {"rank": {"weight": 0}, "lm": {"ties": "likeliest"}}),
    "ties first-stage": (_BASE, {"lm": {"ties": "first-stage"}}),
    "ties likeliest": (_BASE, {"lm": {"ties": "likeliest"}}),
    "alone": (_BASE, {"lm": {"weight": 0}}),
    "LM first": (_BASE, {"lm": {"weight": {0: 1.0, 0.5: 0.0}}, "rank": {"name": _BASE, "weight": {0: 0.0, 0.5: 10.0}}}),
    "own head": (_BASE, {"rank": {"name": _BASE, "head": "own"}}),
    "z": (_BASE, {"z": {"weight": 1e-4}}),
    "doubt": (_BASE, {"rank": {"name": _BASE, "doubt": {}}}),
    "softmax smoothed": ("softmax", {"rank": {"name": "softmax", "options": {"smoothing": 0.1}}}),
    "fidelity soft": ("fidelity", {"rank": {"name": "fidelity", "options": {"softness": 1.0}}}),
}
"""every loss, and what may be added to FIRST's: (ranking loss, sections of the recipe's `loss`)"""


def _marks(labels: float = 10.0, **probe: Any) -> tuple[str, dict[str, Any]]:
    return "lambdarank", {"rank": {"name": "lambdarank", "weight": labels}, "lm": {"weight": 0}, "probe": {"layer": 1, **probe}}


MARKS = {
    "marks alone": _marks(0, weight=10),
    "marks": _marks(weight=10),
    "marks distilled": _marks(weight=10, distill=0.5),
    "marks distilled late": _marks(weight=10, distill={0.5: 0, 0.8: 0.5}),
    "marks only distilled": _marks(distill=0.5),
}
"""of models that rank by the marks of the first of their two layers: without label logits, beside them, and taught by them"""
VARIANTS |= MARKS


def main(words: Sequence[str] | None = None) -> int | None:
    parser = parser_of("losses", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, rule)
    asked.add_argument("--steps", type=int, default=600)
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--losses", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="LOSS")
    asked.add_argument("--noise", type=float, default=0.0, help="a share of the training grades is replaced by chance")
    asked = add_question(questions, pulls)
    asked.add_argument("--lists", type=int, default=64, help="of each shape, in random order")
    asked = add_question(questions, memory)
    asked.add_argument("--tokens", type=int, default=2048)
    asked.add_argument("--vocabulary", type=int, default=152_064)
    asked.add_argument("--hidden", type=int, default=256)
    asked.add_argument("--one", choices=["plain", "chunked"], help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    return options.answer(options)


def rule(options: argparse.Namespace) -> None:
    """Every ranking loss on the synthetic rule, one after another, each through `firstrank train` and `firstrank rerank`; and what may be
    added to one.

    Each has its default λ, with the LM loss beside it (`alone` has no LM loss, `LM alone` no other). Prints a table: what a two-layer model
    with random weights has learned after --steps steps of 16 windows of 6 passages: the mean
    over --seeds seeds and the least of them, on 40 lists that it was not trained on. CPU seconds are those of both commands.
    """
    from tests.conftest import make_tiny_model

    print("| loss | first stage | nDCG@10 | least | best passage first | CPU s |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        model = make_tiny_model(Path(scratch) / "tiny")
        for loss in options.losses:
            started = time.process_time()
            found = [_one(loss, model, Path(scratch) / f"{loss}-{seed}", options, seed) for seed in range(options.seeds)]
            print(_row(loss, found, (time.process_time() - started) / options.seeds), flush=True)


def _one(name: str, model: Path, folder: Path, options: argparse.Namespace, seed: int) -> Learned:
    from tests.training.test_learning import learned

    folder.mkdir()
    loss, sections = VARIANTS[name]
    said = ("answer=marks",) if name in MARKS else ()
    return learned(loss, model, folder, steps=options.steps, seed=seed, sections=sections, noise=options.noise, said=said)


def _row(loss: str, found: list[Learned], seconds: float) -> str:
    chance, ndcg, best, _ = (sum(values) / len(found) for values in zip(*found, strict=True))
    return f"| `{loss}` | {chance:.3f} | {ndcg:.3f} | {min(each.ndcg for each in found):.3f} | {best:.3f} | {seconds:.1f} |"


SHAPES: dict[str, list[float]] = {
    "20, five of each grade": [3.0, 2.0, 1.0, 0.0] * 5,
    "20, one relevant": [1.0, *[0.0] * 19],
    "6, graded": [3.0, 2.0, 1.0, 0.0, 0.0, 0.0],
    "20, a teacher's order": [3 - 3 * i / 19 for i in range(20)],
}
"""grades of a list"""


def pulls(options: argparse.Namespace) -> None:
    """How hard each loss as published pulls at equal logits, beside `weighted_ranknet`, on lists of several shapes: what `loss.rank.unit`
    evens out."""
    generator = torch.Generator().manual_seed(0)
    lists = {
        name: [torch.tensor(shape)[torch.randperm(len(shape), generator=generator)] for _ in range(options.lists)]
        for name, shape in SHAPES.items()
    }
    print(f"| loss | {' | '.join(SHAPES)} |\n|---|{'---|' * len(SHAPES)}")
    for name in NAMES:
        found = [1 / unit_of(loss_of(name), lists[shape]) for shape in SHAPES]
        print(f"| `{name}` | {' | '.join(f'{pull:.3g}' for pull in found)} |", flush=True)


def memory(options: argparse.Namespace) -> None:
    """Peak memory of the LM loss, plain and chunked, on a CPU.

    Each runs in a process of its own. The peak is the resident set's high-water mark beyond what stood before the loss: hidden states,
    the head's weights, and room for the gradients of both, which are touched beforehand. Prints a line each, and the share.
    """
    if options.one:
        print(json.dumps(measure(options.one, options.tokens, options.vocabulary, options.hidden)))
        return
    found = {}
    sizes = [f"--{name}={getattr(options, name)}" for name in ("tokens", "vocabulary", "hidden")]
    for kind in ("plain", "chunked"):
        command = [sys.executable, "-m", "benchmarks.losses", "memory", "--one", kind, *sizes]
        environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
        found[kind] = json.loads(done.stdout)
        print(kind, {name: round(value, 4) for name, value in found[kind].items()}, flush=True)
    share = found["chunked"]["peak MiB"] / found["plain"]["peak MiB"]
    print(f"{options.tokens} tokens x {options.vocabulary} vocabulary: the chunked loss's peak is {share:.3f} of the plain one's")


def measure(kind: str, tokens: int, vocabulary: int, hidden: int) -> dict[str, float]:
    torch.manual_seed(0)
    states = torch.randn(tokens, hidden, requires_grad=True)
    weight = torch.randn(vocabulary, hidden).mul_(hidden**-0.5).requires_grad_()
    ids = torch.randint(vocabulary, (tokens,))
    states.grad, weight.grad = torch.full_like(states, 1e-9), torch.full_like(weight, 1e-9)
    token_losses(states[:2].detach(), Head(weight.detach()[:64]), ids[:2] % 64)  # what libraries allocate once
    before, watch = resident(), _Watch()
    started = time.perf_counter()
    losses = (
        torch.nn.functional.cross_entropy(states @ weight.T, ids, reduction="none")
        if kind == "plain"
        else token_losses(states, Head(weight), ids)
    )
    loss = losses.mean()
    loss.backward()
    seconds = time.perf_counter() - started
    return {"loss": loss.item(), "peak MiB": watch.stop() - before, "seconds": seconds, "grad": float(states.grad.norm())}


class _Watch:
    """The resident set's high-water mark, sampled every millisecond."""

    def __init__(self) -> None:
        self._most, self._going = resident(), True
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while self._going:
            self._most = max(self._most, resident())
            time.sleep(0.001)

    def stop(self) -> float:
        self._going = False
        self._thread.join()
        return self._most


if __name__ == "__main__":
    sys.exit(main())
