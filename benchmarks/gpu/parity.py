"""How far label logits are from those of plain transformers in fp32, one window a pass."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch

from benchmarks.gpu.networks import described, loaded, release, requests_of, scorer_of, weights_of
from benchmarks.gpu.plan import Plan, Row
from firstrank.reranker.models.catalog import read_settings
from firstrank.reranker.models.loaded import Model, load_model
from firstrank.reranker.models.weights import cached
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from firstrank.reranker.types import Request

TOLERANCE = {"float32": 1e-4, "float16": 4e-2, "bfloat16": 2.5e-1, "fp8": 1.0}
"""of the standard deviation of a window's logits in fp32"""


REAL = "smollm2-base"
"""whose weights are compared too, where they are here"""


def rows(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """Windows of several sizes in one batch, in each kind of numbers: the largest difference, over the logits' own spread."""
    for shape in plan.parity:
        with tempfile.TemporaryDirectory() as scratch:
            yield from compared(shape, loaded(described(shape, Path(scratch))), plan)
    if plan.weights and cached(read_settings(REAL)):
        yield from compared(f"{REAL}, its own weights", load_model(REAL), plan)


def compared(name: str, model: Model, plan: Plan) -> Iterator[Row]:
    asked = [Request(one.query, one.passages[: 2 + i], one.qid, one.passage_tokens) for i, one in windows(plan)]
    wanted = _plain(model, plan, asked)
    for dtype, allowed in TOLERANCE.items():
        if dtype == "fp8" and (plan.device == "cpu" or not find_spec("torchao")):
            yield {"shape": name, "numbers": dtype, "difference": "not measured: needs a GPU and torchao"}
            continue
        with scorer_of(model, plan, dtype) as scorer:
            found, reading = asyncio.run(_scored(scorer, asked)), scorer.reading
        apart = max(_apart(*pair) for pair in zip(found, wanted, strict=True))
        holds = "yes" if apart <= allowed else "NO"
        yield {"shape": name, "numbers": dtype, "windows are": reading, "difference": apart, "allowed": allowed, "holds": holds}


def windows(plan: Plan) -> Iterator[tuple[int, Request]]:
    return enumerate(islice(requests_of(plan, plan.window), plan.window - 1))


def _plain(model: Model, plan: Plan, asked: list[Request]) -> list[torch.Tensor]:
    """transformers' own logits, the whole vocabulary's, in fp32."""
    network = weights_of(model, plan.device, "float32")
    found = []
    with torch.inference_mode():
        for one in asked:
            n = len(one.passages)
            ids = torch.tensor([model.prompter.encode(one).prompt(range(n))], device=plan.device)
            found.append(network(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1, list(model.prompter.label_ids(n))].cpu())
    del network
    release()
    return found


async def _scored(scorer: TransformersScorer, asked: list[Request]) -> list[torch.Tensor]:
    scores = await asyncio.gather(*(scorer.open(one).score(tuple(range(len(one.passages)))) for one in asked))
    return [torch.tensor(one.values) for one in scores]


def _apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.std().clamp_min(1e-6))
