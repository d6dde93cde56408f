"""Windows scored by running servers over OpenAI's completions route: `vllm serve`, on one machine or many.

Prompts go out as token ids, and label logits come back by token id (vLLM's `logprob_token_ids`). Another server, which knows
top-k logprobs only, is used so when it is asked for; a label that is missing there is an error, never a guess.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reranker.errors import InputError, ModelError, ScorerError
from reranker.models import Model, prompter_of
from reranker.permutation import parse
from reranker.prompt import EncodedRequest
from reranker.scorers.servers import Servers, json_of, reason_of
from reranker.template import explained
from reranker.types import Request, Scores

_ROUTE = "/v1/completions"


class ServerSettings(BaseModel):
    """What may be said of the servers: `engine` in OpenAIOptions, `--engine-arg` on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served_model: str | None = Field(default=None, description="the model's name at the server; by default the only one that it lists")
    labels: Literal["ids", "top"] = Field(default="ids", description="how label logits are asked for: by token id, or top-k logprobs")
    top: int = Field(default=20, ge=1, description="with labels=top, how many logprobs to ask for")
    connections: int = Field(default=64, ge=1, description="to each server")
    timeout: float = Field(default=120.0, gt=0, description="seconds that a window may take")


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Where the servers are. A key, where they want one, is read from the environment's OPENAI_API_KEY."""

    base_urls: tuple[str, ...] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)
    """see ServerSettings"""
    transport: Any = None
    """httpx's, for tests: one that serves both its sync and its async client"""


class OpenAIScorer:
    """A scorer over servers. Each is asked what it serves when this is made: ModelError where it cannot answer as it must."""

    def __init__(self, model: Model, options: OpenAIOptions = OpenAIOptions()) -> None:
        self._settings = _settings(options.engine)
        urls = [_base(url) for url in options.base_urls]
        if not urls:
            raise InputError("backend openai: no server is named: give its base URL, http://127.0.0.1:8000 say")
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(headers=headers, timeout=60.0, transport=options.transport, trust_env=False) as client:
            served = [_Probe(client, url, model, self._settings).serves() for url in urls]
        self._names = {url: name for url, (name, _) in zip(urls, served, strict=True)}
        self._model = _within(model, [context for _, context in served])
        self.name = model.name
        self._read = self._ordering if model.spec.answer == "permutation" else _READERS[self._settings.labels](self._model)
        self._servers = Servers(
            urls,
            connections=self._settings.connections,
            timeout=self._settings.timeout,
            headers=headers,
            transport=options.transport,
        )

    @property
    def concurrency(self) -> int:
        return self._settings.connections * len(self._names)

    @property
    def alive(self) -> bool:
        """False while no server answers as it should."""
        return self._servers.alive

    def open(self, request: Request) -> OpenAISession:
        return OpenAISession(self, self._model.prompter.encode(request))

    def close(self) -> None:
        """Connections end with the event loop that they belong to."""

    async def score(self, prompt: Sequence[int], n: int) -> Scores:
        """The scores of one prompt that shows n passages. Raises TransientError, EngineLost, ScorerError; cancelling it hangs up."""
        started = time.perf_counter()
        question = self._question(n) | {"prompt": list(prompt)}
        answer = await self._servers.post(_ROUTE, lambda url: question | {"model": self._names[url]})
        scores = self._read(answer, n)
        return replace(scores, prompt_tokens=len(prompt), seconds=time.perf_counter() - started, scorer=self.name)
