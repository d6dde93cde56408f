"""Hosts of one LLM over the OpenAI-compatible chat API: what is sent, what comes back, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import httpx

from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.scorers.chat.options import ChatOptions
from firstrank.reranker.scorers.chat.purse import Purse
from firstrank.reranker.scorers.openai.asked import asked, base_url, headers_of, named_servers
from firstrank.reranker.scorers.openai.servers import Servers

_ROUTE = "/v1/chat/completions"

Body = Mapping[str, Any]
Ask = Callable[[Body], Any]
"""a body -> the JSON that a host answers with"""
T = TypeVar("T")


class Answer(NamedTuple):
    """What a host answered: JSON as it came, tokens read and written, US dollars."""

    said: Any
    usage: tuple[int, int]
    cost: float


class ChatClient:
    """Asks the hosts that the options name, and pays out of one purse. Raises InputError where none is named."""

    def __init__(self, spec: ModelSpec, options: ChatOptions) -> None:
        self.settings, self.purse = options.server, Purse(spec.prices, options.max_cost)
        self._served, self._transport = options.server.served_model or spec.name, options.transport
        self._urls = [base_url(url) for url in named_servers("chat", options.base_urls)]
        self._servers = Servers(
            self._urls,
            connections=self.settings.connections,
            timeout=self.settings.timeout,
            headers=headers_of(),
            transport=options.transport,
        )

    @property
    def concurrency(self) -> int:
        return self.settings.connections * len(self._urls)

    @property
    def alive(self) -> bool:
        """False while no host answers as it should."""
        return self._servers.alive

    def close(self) -> None:
        """Ends the connections."""
        self._servers.close()

    def body(self, system: str, user: str, tokens: int, **more: Any) -> Body:
        """What is posted: a system's turn where there is one, the user's, and an answer of at most so many tokens."""
        turns = [{"role": "system", "content": system}] if system else []
        optional = {"temperature": self.settings.temperature, "reasoning_effort": self.settings.reasoning_effort}
        return {
            "model": self._served,
            "messages": [*turns, {"role": "user", "content": user}],
            self.settings.limit: tokens,
            **more,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def tried(self, trial: Callable[[str, Ask], T]) -> dict[str, T]:
        """URL -> what its `trial` gives, which may ask that host at once. Raises ModelError where one cannot be used."""
        timeout = self.settings.timeout
        with httpx.Client(headers=headers_of(), timeout=timeout, transport=self._transport, trust_env=False) as client:
            return {url: trial(url, _asking(client, url)) for url in self._urls}

    async def ask(self, longest: Body, body: Callable[[str], Body], tokens: int) -> Answer:
        """A host's answer, in at most so many tokens, to the `body` of its URL, of which none is longer than `longest`.

        Raises TransientError, EngineLost, ScorerError, CeilingReached.
        """
        read = len(json.dumps(longest).encode())  # no token is less than a byte
        aside = self.purse.set_aside(read, tokens)
        try:
            said = await self._servers.post(_ROUTE, body)
        except BaseException:
            self.purse.give_back(aside)
            raise
        usage = usage_of(said, read, tokens)
        return Answer(said, usage, self.purse.settle(aside, *usage))


def _asking(client: httpx.Client, url: str) -> Ask:
    return lambda body: asked(client, "POST", f"{url}{_ROUTE}", body)


def usage_of(said: Any, read: int, written: int) -> tuple[int, int]:
    """Tokens read and written, as the host counts them; where it does not, what was reckoned with."""
    usage = said.get("usage") if isinstance(said, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    return int(usage.get("prompt_tokens", read)), int(usage.get("completion_tokens", written))
