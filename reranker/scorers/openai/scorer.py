"""Windows scored by running servers over OpenAI's completions route: `vllm serve`, on one machine or many.

Prompts go out as token ids, and label logits come back by token id (vLLM's `logprob_token_ids`). Another server, which knows
top-k logprobs only, is used so when it is asked for; a label that is missing there is an error, never a guess.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import httpx

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.openai.asked import asked, base_url, headers_of
from firstrank.reranker.scorers.openai.completions import Completion
from firstrank.reranker.scorers.openai.engines import completion_of
from firstrank.reranker.scorers.openai.options import OpenAIOptions
from firstrank.reranker.scorers.openai.servers import Servers
from firstrank.reranker.scorers.point_session import PointSession, open_session
from firstrank.reranker.scorers.prompt_session import PromptSession
from firstrank.reranker.types import Request, Scores


class OpenAIScorer:
    """A scorer over servers. Each is asked what it serves when this is made: ModelError where it cannot answer as it must."""

    def __init__(self, model: Model, options: OpenAIOptions = OpenAIOptions()) -> None:
        self._settings = settings = options.server
        urls = [base_url(url) for url in options.servers()]
        headers = headers_of()
        with httpx.Client(headers=headers, timeout=60.0, transport=options.transport, trust_env=False) as client:
            served = {url: _served(client, url, settings.served_model) for url in urls}
            self._model = model = model.within(*(one.context for one in served.values()))
            self._completion = completion_of(model, settings)
            for url, one in served.items():
                _try_out(client, url, one.name, self._completion)
        self.name = model.name
        self._names = {url: one.name for url, one in served.items()}
        self._servers = Servers(
            urls, connections=settings.connections, timeout=settings.timeout, headers=headers, transport=options.transport
        )

    @property
    def concurrency(self) -> int:
        return self._settings.connections * len(self._names)

    @property
    def alive(self) -> bool:
        """False while no server answers as it should."""
        return self._servers.alive

    def open(self, request: Request) -> PromptSession | PointSession:
        return open_session(self, self._model, request)

    def close(self) -> None:
        """Ends the connections."""
        self._servers.close()

    async def score(self, prompt: Sequence[int], n: int) -> Scores:
        """The scores of one prompt that shows n passages. Raises TransientError, EngineLost, ScorerError; cancelling it hangs up."""
        started = time.perf_counter()
        question = self._completion.question(prompt, n)
        answer = await self._servers.post(self._completion.route, lambda url: {"model": self._names[url], **question})
        scores = self._completion.read(answer, n)
        return replace(scores, prompt_tokens=len(prompt), seconds=time.perf_counter() - started, scorer=self.name)


class _Served(NamedTuple):
    """What a server says of a model."""

    name: str
    context: int | None


def _served(client: httpx.Client, url: str, wanted: str | None) -> _Served:
    """The model to ask for at a server."""
    found = asked(client, "GET", f"{url}/v1/models")
    listed = {str(one["id"]): one.get("max_model_len") for one in found.get("data", ())}
    if wanted is None and len(listed) != 1:
        raise ModelError(f"{url} serves {', '.join(listed) or 'no model'}: choose one with --engine-arg served_model=NAME")
    name = next(iter(listed)) if wanted is None else wanted
    if name not in listed:
        raise ModelError(f"{url} does not serve {name!r}; it serves {', '.join(listed)}")
    return _Served(name, listed[name])


def _try_out(client: httpx.Client, url: str, name: str, completion: Completion) -> None:
    """One small window: a server that cannot answer as it must is found out before any query is asked."""
    question = completion.question(completion.trial, 2)
    answer = asked(client, "POST", f"{url}{completion.route}", {"model": name, **question})
    try:
        completion.read(answer, 2)
    except ScorerError as error:
        raise ModelError(f"{url}: {error}{completion.remedy}") from error
