"""Real windows without a download: docstrings of the standard library; and what it means that two scorers agree on them."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Sequence
from importlib import import_module
from itertools import combinations
from math import exp, log
from typing import Any

from firstrank.reranker.types import Passage, Request

MODULES = ("argparse", "bisect", "calendar", "csv", "datetime", "functools", "heapq", "json", "math", "os", "pathlib", "random", "re")
MODULES += ("shutil", "statistics", "string", "subprocess", "tempfile", "textwrap", "threading", "urllib.parse", "zipfile")
NEAR_TIE = 1e-2


def docstrings(words: int) -> list[tuple[str, str]]:
    """(qualified name, first words of the docstring), in a fixed order."""
    found = {}
    for module in map(import_module, MODULES):
        for name, member in sorted(vars(module).items()):
            if not name.startswith("_") and callable(member) and (doc := inspect.getdoc(member)):
                found[f"{module.__name__}.{name}"] = " ".join(doc.split()[:words])
    return list(found.items())


def windows(count: int, n: int = 8, seed: int = 0, alike: int = 1, words: int = 24) -> list[Request]:
    """Windows of n passages; the query is about one of them. `alike` in a row share their query and first half, as a query's windows do."""
    draw, docs = random.Random(seed), docstrings(words)
    made: list[Request] = []
    for number in range(count):
        chosen = draw.sample(docs, n)
        if number % alike:
            query, kept = made[-1].query, made[-1].passages[: n // 2]
        else:
            query, kept = f"which function of Python can {' '.join(draw.choice(chosen)[1].split()[:8]).lower()}", ()
        passages = (*kept, *(Passage(f"{place}:{name}", text) for place, (name, text) in enumerate(chosen[len(kept) :], len(kept))))
        made.append(Request(query, passages, f"q{number}"))
    return made


async def score_all(scorer: Any, requests: Sequence[Request], at_once: int) -> list[Any]:
    """Each request's Scores as one window."""
    gate = asyncio.Semaphore(at_once)

    async def one(request: Request) -> Any:
        async with gate:
            session = scorer.open(request)
            try:
                return await session.score(tuple(range(len(request.passages))))
            finally:
                session.close()

    return await asyncio.gather(*map(one, requests))


def log_softmax(values: Sequence[float]) -> list[float]:
    most = max(values)
    total = log(sum(exp(value - most) for value in values)) + most
    return [value - total for value in values]


def assert_agree(found: Sequence[Any], expected: Sequence[Any], near_tie: float = NEAR_TIE) -> None:
    """The same order up to pairs closer than a near tie, and the same best in 99 of 100 windows."""
    same_best = 0
    for one, other in zip(found, expected, strict=True):
        ours, theirs = log_softmax(one.values), log_softmax(other.values)
        same_best += max(range(len(ours)), key=ours.__getitem__) == max(range(len(theirs)), key=theirs.__getitem__)
        for i, j in combinations(range(len(ours)), 2):
            if abs(theirs[i] - theirs[j]) > near_tie:
                assert (ours[i] > ours[j]) == (theirs[i] > theirs[j]), (ours, theirs)
    assert same_best >= 0.99 * len(expected)
