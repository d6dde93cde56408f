"""FIRST against generation: the same engine, weights, prompts and passages; generation keeps its states and writes one whole ordering."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.gpu.networks import described, loaded, scorer_of
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.speed import asked_by, strategies


def rows(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """One window a query, by the number of clients; the last column is FIRST's share of generation's median."""
    _, candidates, strategy = next(strategies(plan))
    with ExitStack() as open_:
        folder = described(plan.small, Path(open_.enter_context(tempfile.TemporaryDirectory())))
        first = open_.enter_context(scorer_of(loaded(folder), plan))
        written = open_.enter_context(scorer_of(loaded(folder, "permutation"), plan))
        for clients in plan.generating:
            own, other = (asyncio.run(asked_by(one, strategy, plan, candidates, clients)) for one in (first, written))
            yield {"shape": plan.small, "clients": clients, "answer": "first token"} | own | {"share": own["p50 ms"] / other["p50 ms"]}
            yield {"shape": plan.small, "clients": clients, "answer": "whole ordering"} | other
