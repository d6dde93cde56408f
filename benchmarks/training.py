"""How fast a step of training is.

    python -m benchmarks.training speed [--model default] [--rounds 3] [--steps 2] [--ways before now upper]
    python -m benchmarks.training device [--smoke]

Prints a table: tokens a second by the clock and by the processor's, and the share of the device's own peak.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.arguments import add_question, parser_of
from firstrank.reranker.models.loaded import Model, load_model
from firstrank.reranker.types import Passage, Request
from firstrank.training.config import Config
from firstrank.training.machine import arithmetic, prepare
from firstrank.training.network import is_packed, load_network
from firstrank.training.samples.batch import Batch, collate
from firstrank.training.samples.draw import Drawn
from firstrank.training.samples.sample import Sample, encoded
from firstrank.training.total_loss import TotalLoss
from tests.conftest import make_tiny_tokenizer

UNIT = 0.043
"""of listnet, on lists of 20 passages with grades 0 to 3"""
PLAIN = {"precision": "float32", "attention": "sdpa"}
UPPER = {"layers": [15, 29]}
WAYS: dict[str, dict[str, Any]] = {
    "before": {"tuning": PLAIN | {"lora": {"fused": False}}},
    "before-upper": {"tuning": PLAIN | {"lora": UPPER | {"fused": False}}},
    "now": {},
    "now-bfloat16": {"tuning": {"precision": "bfloat16"}},
    "now-compiled": {"tuning": {"compile": True}},
    "upper": {"tuning": {"lora": UPPER}},
    "upper-bfloat16": {"tuning": {"precision": "bfloat16", "lora": UPPER}},
    "upper-compiled": {"tuning": {"lora": UPPER, "compile": True}},
    "full": {"tuning": {"method": "full"}},
    "full-bfloat16": {"tuning": {"method": "full", "precision": "bfloat16"}},
}
"""`before` is how every LoRA run was computed until November 2026: fp32, PEFT's products, padding and a mask"""


def main(words: Sequence[str] | None = None) -> int | None:
    parser = parser_of("training", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, speed)
    asked.add_argument("--model", default="smollm2-base")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--steps", type=int, default=2)
    asked.add_argument("--windows", type=int, default=2)
    asked.add_argument("--window-tokens", type=int, default=600)
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--ways", nargs="+", choices=WAYS, default=["before", "now", "upper"], metavar="WAY")
    asked = add_question(questions, device)
    asked.add_argument("--smoke", action="store_true", help="tiny shapes: that it runs, on a CPU too")
    asked.add_argument("--steps", type=int, default=8)
    options = parser.parse_args(words)
    return options.answer(options)


class Speed(NamedTuple):
    """Of one way in one round."""

    tokens: float
    """a second, by the clock"""
    worked: float
    """a second of the processor"""
    losses: list[float]


def speed(options: argparse.Namespace) -> None:
    """Tokens a second of whole steps (forward, backward, optimiser), the ways in turn, --rounds times, in one process.

    The same windows for every way, and the same first weights. The losses of the first round's steps are shown: they are to be alike.
    """
    prepare(options.threads)
    runs = {way: _Way(way, options) for way in options.ways}
    found: dict[str, list[Speed]] = {way: [] for way in runs}
    for _ in range(options.rounds):
        for way, one in runs.items():
            found[way].append(one.measured(options.steps))
            print(f"{way}: {found[way][-1].worked:.0f} tokens a CPU second", file=sys.stderr, flush=True)
    first = options.ways[0]
    print(
        "| way | tokens/s | tokens per CPU second | times the first by the clock | by the processor | losses |\n|---|---|---|---|---|---|"
    )
    for way, speeds in found.items():
        rate, worked = median(one.tokens for one in speeds), median(one.worked for one in speeds)
        pairs = list(zip(speeds, found[first], strict=True))
        clock, processor = [one.tokens / other.tokens for one, other in pairs], [one.worked / other.worked for one, other in pairs]
        losses = " ".join(f"{loss:.3f}" for loss in speeds[0].losses)
        print(f"| {way} | {rate:.0f} | {worked:.0f} | {_spread(clock)} | {_spread(processor)} | {losses} |", flush=True)


SHAPES: dict[str, dict[str, int]] = {
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3},
    "7B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
}
"""SmolLM2's, Mistral's, and one to try things on"""
PLAN = (("135M", "now", 64), ("135M", "full", 64), ("135M", "full-bfloat16", 64), ("7B", "now", 8))
"""shape, way, windows of a forward pass"""
SMOKE = (("tiny", "now", 2), ("tiny", "full", 2), ("tiny", "full-bfloat16", 2))


def device(options: argparse.Namespace) -> None:
    """Tokens a second on this machine's device, and the share of its own peak, for networks of random weights.

    The peak is that of the best of five products of large bf16 matrices, in this process. A token of LoRA takes 4 operations for each
    weight below the head (forward, and back to the inputs), one of full tuning 6.
    """
    peak = _peak(256 if options.smoke else 8192)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(
        f"{where}: {peak / 1e12:.3g} Tflop/s at best\n\n| shape | way | tokens/s | share of peak | GiB |\n|---|---|---|---|---|", flush=True
    )
    for row in rates(SMOKE if options.smoke else PLAN, options.steps, peak):
        print(f"| {row['shape']} | {row['way']} | {row['tokens/s']:.0f} | {row['share of roof']:.3f} | {row['GiB']:.1f} |", flush=True)


def rates(plan: Iterable[tuple[str, str, int]], steps: int, peak: float | None) -> Iterator[dict[str, Any]]:
    """A row for each shape, way and number of windows of a plan; `peak` in operations a second."""
    prepare(None)
    for shape, way, windows in plan:
        with tempfile.TemporaryDirectory() as scratch:
            folder = str(_random(SHAPES[shape], Path(scratch)))
            sizes = {"model": folder, "rounds": 1, "steps": steps, "windows": windows, "window_tokens": 600}
            one = _Way(way, argparse.Namespace(**sizes))
        rate = one.measured(steps).tokens
        work = rate * (4 if way == "now" else 6) * one.weights
        used = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")
        yield {"shape": shape, "way": way, "tokens/s": rate, "share of roof": work / peak if peak else float("nan"), "GiB": used}
        del one


def _peak(size: int) -> float:
    kind = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    one = torch.randn(size, size, device=kind, dtype=torch.bfloat16)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        (one @ one)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(times[1:])


def _random(shape: dict[str, int], folder: Path) -> Path:
    """A network of random weights in bf16, with a tokenizer made on the spot and SmolLM2's size of vocabulary."""
    from transformers import MistralConfig, MistralForCausalLM

    tiny = make_tiny_tokenizer(folder)
    ids = {name: getattr(tiny, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = MistralConfig(vocab_size=49152, max_position_embeddings=8192, sliding_window=None, **shape, **ids)
    torch.set_default_dtype(torch.bfloat16)
    try:
        MistralForCausalLM(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    return folder


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


class _Way:
    def __init__(self, way: str, options: argparse.Namespace) -> None:
        self._config = Config.model_validate(
            {"model": options.model, "train": "unused", "output": "unused", "loss": {"rank": {"name": "listnet"}}} | WAYS[way]
        )
        torch.manual_seed(0)
        model = load_model(self._config.model)
        self._network = load_network(model, self._config).train()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.to(self._device)
        packing = is_packed(self._network)
        samples = list(_windows(model, self._config, options))
        self._batches = [
            collate(samples[i : i + options.windows], packing=packing).to(self._device) for i in range(0, len(samples), options.windows)
        ]
        self._loss = TotalLoss(self._config, UNIT)
        moving = [one for one in self._network.parameters() if one.requires_grad]
        self._optimiser = torch.optim.AdamW(moving, lr=1e-4)
        self._step(self._batches[-1])  # what is allocated, and compiled, once
        self._next = 0
        self.weights = sum(one.numel() for name, one in self._network.base_model.named_parameters() if "embed" not in name)

    def measured(self, steps: int) -> Speed:
        started, worked, tokens, losses = time.perf_counter(), time.process_time(), 0, []
        for _ in range(steps):
            batch = self._batches[self._next % len(self._batches)]
            self._next += 1
            losses.append(self._step(batch))
            tokens += batch.tokens
        return Speed(tokens / (time.perf_counter() - started), tokens / (time.process_time() - worked), losses)

    def _step(self, batch: Batch) -> float:
        half = arithmetic(self._config.tuning) == "mixed"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            terms = self._loss(self._network(batch=batch), batch, 0.5)
        terms.total.backward()
        self._optimiser.step()
        self._optimiser.zero_grad()
        return float(terms.total.detach())


def _windows(model: Model, config: Config, options: argparse.Namespace) -> Iterator[Sample]:
    """Windows of 20 passages of a text that every checkout has, about `--window-tokens` long."""
    words = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8").split()
    rng = np.random.default_rng(0)
    size = 20
    cut = max(4, (options.window_tokens - 110) // size - 6)
    for number in range(options.windows * (options.steps * options.rounds + 1)):
        starts = rng.integers(0, len(words) - 200, size)
        passages = tuple(Passage(f"{number}-{i}", " ".join(words[start : start + 200])) for i, start in enumerate(starts.tolist()))
        grades = tuple(float(value) for value in rng.integers(0, 4, size))
        request = Request("what does the licence grant", passages, str(number), cut)
        yield encoded(Drawn(request, grades, tuple(range(size))), model, config)


if __name__ == "__main__":
    sys.exit(main())
