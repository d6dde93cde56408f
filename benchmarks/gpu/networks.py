"""Networks with random weights in the shapes of real ones, and requests for them. The tokenizer is made of this project's licence."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import torch

from benchmarks.gpu.plan import SHAPES, Plan
from firstrank.reranker.models.loaded import Model, load_model
from firstrank.reranker.models.network import load_network
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from firstrank.reranker.types import Passage, Request
from tests.conftest import make_tiny_tokenizer

ROOT = Path(__file__).parents[2]
WINDOWS = "template: compact\npassage_tokens: 100\n"
POINTS = 'template: compact-mark\npassage_tokens: 100\nanswer: pointwise\npointwise: {yes: "["}\n'
"""settings of models that read windows, and of those that read a passage at a time"""


def described(shape: str, folder: Path, settings: str = WINDOWS) -> Path:
    """A model's folder without weights: configuration, tokenizer and settings."""
    import transformers

    of = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    tiny = make_tiny_tokenizer(folder)
    _add_labels(folder / "tokenizer.json")
    ids = {name: getattr(tiny, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    more = {"sliding_window": None} if of.family == "Mistral" else {}
    config = getattr(transformers, f"{of.family}Config")(**of.config(), **ids, **more, max_position_embeddings=32768)
    config.architectures = [f"{of.family}ForCausalLM"]
    config.save_pretrained(folder)
    (folder / "firstrank.yaml").write_text(settings)
    return folder


def _add_labels(file: Path) -> None:
    """AA … DZ as tokens of a BPE tokenizer: labels for a hundred passages."""
    said = json.loads(file.read_text(encoding="utf-8"))
    vocabulary, merges = said["model"]["vocab"], said["model"]["merges"]
    for first, second in product(ascii_uppercase[:4], ascii_uppercase):
        if first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            merges.append([first, second])
    file.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def network_of(folder: Path, device: str, dtype: str) -> Any:
    """Random weights, the same each time; made where they are to be, for nothing is as slow as a disk."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=getattr(torch, dtype))
    return network.eval().requires_grad_(False)


def weights_of(model: Model, device: str, dtype: str) -> Any:
    """A network as it is on disk; random weights where there are none."""
    if not list(Path(model.path).glob("*.safetensors")):
        return network_of(Path(model.path), device, dtype)
    return load_network(model.name, Path(model.path), getattr(torch, dtype)).to(device).eval().requires_grad_(False)


@contextmanager
def scorer_of(model: Model, plan: Plan, dtype: str = "bfloat16") -> Iterator[TransformersScorer]:
    """A scorer that has its network to itself."""
    network = weights_of(model, plan.device, "bfloat16" if dtype == "fp8" else dtype)
    scorer = TransformersScorer(model, TransformersOptions(device=plan.device, dtype=dtype), network, own=True)
    try:
        yield scorer
    finally:
        scorer.close()
        del scorer, network
        release()


def release() -> None:
    """What the last network held, given back."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def requests_of(plan: Plan, candidates: int) -> Iterator[Request]:
    """Without an end: passages of this project's licence, each cut at the plan's tokens."""
    words = (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    draw = random.Random(0)
    number = 0
    while True:
        starts = [draw.randrange(len(words) - 200) for _ in range(candidates)]
        passages = tuple(Passage(str(i), " ".join(words[start : start + 200])) for i, start in enumerate(starts))
        yield Request("what does the licence grant", passages, f"q{number}", plan.tokens)
        number += 1


def loaded(folder: Path, answer: Any = None) -> Model:
    return load_model(str(folder), answer=answer)


def on(plan: Plan) -> Plan:
    """The plan with its device named."""
    return replace(plan, device="cuda" if torch.cuda.is_available() else "cpu") if plan.device == "auto" else plan
