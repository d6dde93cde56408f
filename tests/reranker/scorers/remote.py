"""A server that answers as `vllm serve` does, without a model: a label's log probability is minus its token id's place in line."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import httpx

Answer = Callable[[httpx.Request, dict], httpx.Response]


def logprob(index: int) -> float:
    return -(index % 97) / 10


def by_id(request: httpx.Request, body: dict) -> httpx.Response:
    """What a new vLLM answers: the labels asked for, and the sampled token."""
    found = {f"token_id:{index}": logprob(index) for index in body["logprob_token_ids"]} | {"token_id:0": -0.5}
    return completion(found)


def top_k(request: httpx.Request, body: dict) -> httpx.Response:
    """What others answer: the likeliest tokens as text, whatever else was asked."""
    return completion({name: -place / 10 for place, name in enumerate("BADC"[: body["logprobs"]])})


def completion(found: dict[str, float]) -> httpx.Response:
    choice = {"text": "", "logprobs": {"top_logprobs": [found]}}
    return httpx.Response(200, json={"choices": [choice], "usage": {"completion_tokens": 1}})


class FakeServers(httpx.MockTransport):
    """Several servers, by host name; `answers` may be replaced at any time. Counts what each was asked."""

    def __init__(self, answer: Answer = by_id, *, models: tuple[str, ...] = ("served",), context: int | None = None) -> None:
        super().__init__(self._handle)
        self.answer, self.models, self.context = answer, models, context
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.headers: list[httpx.Headers] = []
        self.held: dict[str, asyncio.Event] = {}
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.in_flight[host] += 1
        self.most[host] = max(self.most[host], self.in_flight[host])
        try:
            await asyncio.sleep(0)
            if host in self.held:
                await self.held[host].wait()
            return self._handle(request)
        finally:
            self.in_flight[host] -= 1

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(request.headers)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": name, "max_model_len": self.context} for name in self.models]})
        assert request.url.path == "/v1/completions"
        body = json.loads(request.content)
        self.bodies.append(body)
        self.asked[request.url.host] += 1
        return self.answer(request, body)
