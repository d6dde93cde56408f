"""The HTTP service against the same model in process, with as many clients."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx

from benchmarks.gpu.clock import closed_loop, latencies
from benchmarks.gpu.networks import described, loaded, network_of, release, requests_of, scorer_of
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.speed import asked_by, strategies
from tests.server.serving import live


def rows(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    """One window a query."""
    clients = plan.clients[-1]
    _, candidates, strategy = next(strategies(plan))
    with tempfile.TemporaryDirectory() as scratch:
        model = loaded(described(plan.small, Path(scratch)))
        with scorer_of(model, plan) as scorer:
            found = asyncio.run(asked_by(scorer, strategy, plan, candidates, clients))
        yield {"shape": plan.small, "clients": clients, "asked": "in process"} | found
        network_of(Path(scratch), plan.device, "bfloat16").save_pretrained(scratch)
        release()
        bodies = [
            {"query": one.query, "documents": [passage.text for passage in one.passages], "max_tokens_per_doc": plan.tokens}
            for one in islice(requests_of(plan, candidates), 64)
        ]
        with ExitStack() as open_:
            service = open_.enter_context(live("--model", f"default={scratch}", "--device", plan.device, "--dtype", "bfloat16"))
            yield {"shape": plan.small, "clients": clients, "asked": "over HTTP"} | asyncio.run(
                _over_http(service.url, bodies, clients, plan)
            )


async def _over_http(url: str, bodies: list[dict[str, Any]], clients: int, plan: Plan) -> Row:
    asked = cycle(bodies)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:

        async def ask() -> None:
            (await client.post("/v2/rerank", json=next(asked))).raise_for_status()

        await ask()
        return latencies(*await closed_loop(ask, clients, plan.seconds, 2))
