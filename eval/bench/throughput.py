"""Throughput of windows through a backend, as a share of what the machine's matrix products could do.

The share is a ratio within one process: before each fifth of the windows the model's matrix products are timed, and the best of
these five rates is the roof. So a machine that is slow today is slow on both sides.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from firstrank.reranker.runs.files import whole_file

if TYPE_CHECKING:
    from firstrank.reranker import Request, Reranker
    from firstrank.reranker.models.arithmetic import Arithmetic
    from firstrank.reranker.setup import Setup

ROUNDS = 5

_WORDS = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she
there would their we him been has when who will no more if out so up said what its about than into them can only other time new some could
these two may first then do any like my now over such our man me even most made after also did many off before must well back through years
much where your way down should because long each just state those people too how little good world make very year still see own work men
"""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one measurement found. Rates are over all windows; `roof` is the best of `ROUNDS`."""

    model: str
    backend: str
    device: str
    dtype: str
    threads: int
    windows: int
    passages: int
    """in each window"""
    prompt_tokens: int
    """in all windows"""
    seconds: float
    flops: float
    """of all windows"""
    roof: float
    """FLOP/s"""
    products: Mapping[str, float]
    """arithmetic -> FLOP/s of the model's fastest matrix product, on a CPU"""
    bandwidth: float
    """bytes a second, of the CPU's memory"""

    @property
    def windows_per_second(self) -> float:
        return self.windows / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.prompt_tokens / self.seconds

    @property
    def share(self) -> float:
        """Of the roof."""
        return self.flops / self.seconds / self.roof

    def to_dict(self) -> dict[str, Any]:
        rates = {name: getattr(self, name) for name in ("windows_per_second", "tokens_per_second", "share")}
        return asdict(self) | rates


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one window each, made of common words: the same ones each time."""

    windows: int
    passages: int = 20
    words: int = 60
    """of a passage"""

    def requests(self) -> Iterator[Request]:
        from firstrank.reranker import Passage, Request

        for i in range(self.windows):
            draw, words = random.Random(i), _WORDS.split()
            texts = [" ".join(draw.choices(words, k=self.words)) for _ in range(self.passages)]
            yield Request(" ".join(draw.choices(words, k=6)), tuple(Passage(str(n), text) for n, text in enumerate(texts)), f"q{i}")


def measure(setup: Setup, load: Load | None = None, *, passages: int = 20) -> Throughput:
    """Scores windows through the backend as everything does: executor, batcher, network.

    Without a `load`, each of the five rounds has as many windows as the scorer says keep it busy. Raises what a Reranker raises.
    """
    import torch

    from firstrank.eval.bench.roof import bandwidth, flops_of_window, product_rate, shape_of
    from firstrank.reranker import Reranker
    from firstrank.reranker.models.loaded import load_model

    if threads := getattr(setup.backend, "threads", None):
        torch.set_num_threads(threads)
    scorer, _ = setup.open_scorer()
    load = load or Load(ROUNDS * scorer.concurrency, passages)
    shape = shape_of(load_model(setup.model, revision=setup.revision).path)
    device, dtype = getattr(scorer, "device", "cpu"), str(getattr(scorer, "dtype", "float32"))
    with Reranker(scorer, strategy="full") as reranker:
        tokens = [*_scored(reranker, list(load.requests())[:1])]  # the first window of a process is slower
        seconds, lengths, rates = 0.0, [], []
        for requests in _rounds(list(load.requests())):
            rates.append(product_rate(shape, tokens[0], device, cast("Arithmetic", dtype)))
            started = time.perf_counter()
            lengths += _scored(reranker, requests)
            seconds += time.perf_counter() - started
    return Throughput(
        model=setup.model,
        backend=setup.backend_name,
        device=str(device),
        dtype=dtype,
        threads=torch.get_num_threads(),
        windows=len(lengths),
        passages=load.passages,
        prompt_tokens=sum(lengths),
        seconds=seconds,
        flops=sum(flops_of_window(shape, length) for length in lengths),
        roof=max(rates),
        products={arithmetic: product_rate(shape, tokens[0], "cpu", arithmetic) for arithmetic in ("float32", "bfloat16", "int8")},
        bandwidth=bandwidth(),
    )


def write(found: Throughput, output: Path) -> None:
    """`throughput.json` in the folder `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with whole_file(output / "throughput.json") as file:
        file.write(json.dumps(found.to_dict(), indent=2) + "\n")


def _scored(reranker: Reranker, requests: list[Request]) -> list[int]:
    """The prompt tokens of each request's window."""
    return [ranking.trace.prompt_tokens for ranking in reranker.rank_many(requests)]


def _rounds(requests: list[Request]) -> Iterator[list[Request]]:
    for i in range(ROUNDS):
        if part := requests[i::ROUNDS]:
            yield part
