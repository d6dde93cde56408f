"""Windows ordered by a hosted LLM over the OpenAI-compatible chat API (RankGPT, arXiv 2304.09542): the whole ordering is written out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.prompt import labels
from firstrank.reranker.prompt.template import Template
from firstrank.reranker.scorers.chat.answers import asking_for_json, ordering_of, schema, text_of
from firstrank.reranker.scorers.chat.options import ChatOptions
from firstrank.reranker.scorers.chat.purse import Purse
from firstrank.reranker.scorers.openai.asked import asked, base_url, headers_of, named_servers
from firstrank.reranker.scorers.openai.servers import Servers
from firstrank.reranker.scorers.text_window import TextRequest
from firstrank.reranker.types import UNBOUNDED, Passage, Request, Scores

_ROUTE = "/v1/chat/completions"
_PER_PLACE = 5
"""tokens that an ordering takes for each passage, at most"""
_AROUND = 32
_TRIAL = Request("do bees make honey?", (Passage("0", "Stones are hard."), Passage("1", "Bees make honey.")), "trial")

_log = logging.getLogger(__name__)


class ChatScorer:
    """A scorer over hosts of one LLM. Each is tried out when this is made: ModelError where it cannot answer as it must."""

    def __init__(self, spec: ModelSpec, options: ChatOptions) -> None:
        self.name, self._spec, self._settings = spec.name, spec, options.server
        self._template: Template = spec.read_template()
        self.purse = Purse(spec.prices, options.max_cost)
        self._served = options.server.served_model or spec.name
        urls = [base_url(url) for url in named_servers("chat", options.base_urls)]
        with httpx.Client(headers=headers_of(), timeout=options.server.timeout, transport=options.transport, trust_env=False) as client:
            self._json = [self._try_out(client, url) for url in urls]
        self._as_json = dict(zip(urls, self._json, strict=True))
        self._servers = Servers(
            urls, connections=options.server.connections, timeout=options.server.timeout, headers=headers_of(), transport=options.transport
        )

    @property
    def concurrency(self) -> int:
        return self._settings.connections * len(self._as_json)

    @property
    def alive(self) -> bool:
        """False while no host answers as it should."""
        return self._servers.alive

    def open(self, request: Request) -> ChatSession:
        return ChatSession(self, TextRequest.of(request, self._template))

    def close(self) -> None:
        """Ends the connections."""
        self._servers.close()

    async def score(self, asked_for: TextRequest, indices: Sequence[int]) -> Scores:
        """The ordering of a window as scores. Raises TransientError, EngineLost, ScorerError (a ceiling that is reached, too)."""
        started = time.perf_counter()
        longest = self._body(asked_for, indices, as_json=True)
        read, written = len(json.dumps(longest).encode()), self._answer_tokens(len(indices))  # no token is less than a byte
        aside = self.purse.set_aside(read, written)
        try:
            answer = await self._servers.post(_ROUTE, lambda url: self._body(asked_for, indices, as_json=self._as_json[url]))
        except BaseException:
            self.purse.give_back(aside)
            raise
        usage = _usage(answer, read, written)
        cost = self.purse.settle(aside, *usage)
        parsed = ordering_of(text_of(answer), labels.numbers(len(indices)))
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, *usage, time.perf_counter() - started, self.name, notes, cost=cost)

    def _try_out(self, client: httpx.Client, url: str) -> bool:
        """Whether a host takes a JSON schema; a small window shows it."""
        if self._settings.format != "text":
            try:
                self._trial(client, url, as_json=True)
                return True
            except ModelError as error:
                if self._settings.format == "json" or not _is_of_format(error):
                    raise
                _log.info("%s takes no JSON schema (%s): its answers are read as text", url, error)
        self._trial(client, url, as_json=False)
        return False

    def _trial(self, client: httpx.Client, url: str, *, as_json: bool) -> None:
        asked_for = TextRequest("do bees make honey?", "", tuple(passage.text for passage in _TRIAL.passages))
        answer = asked(client, "POST", f"{url}{_ROUTE}", self._body(asked_for, (0, 1), as_json=as_json))
        try:
            ordering_of(text_of(answer), labels.numbers(2))
        except ScorerError as error:
            raise ModelError(f"{url}: {error}") from error

    def _body(self, asked_for: TextRequest, indices: Sequence[int], *, as_json: bool) -> Mapping[str, Any]:
        template, n = self._template, len(indices)
        passages = asked_for.labelled(template, indices, labels.numbers(n))
        user = asked_for.filled(template.before, template, n) + passages + asked_for.filled(template.after, template, n)
        system = asked_for.filled(template.system, template, n)
        turns = [{"role": "system", "content": system}] if system else []
        optional = {"temperature": self._settings.temperature, "reasoning_effort": self._settings.reasoning_effort}
        return {
            "model": self._served,
            "messages": [*turns, {"role": "user", "content": asking_for_json(user) if as_json else user}],
            self._settings.limit: self._answer_tokens(n),
            **({"response_format": schema(n)} if as_json else {}),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _answer_tokens(self, n: int) -> int:
        return self._settings.answer_tokens or _PER_PLACE * n + _AROUND


class ChatSession:
    """One request's windows."""

    def __init__(self, scorer: ChatScorer, asked_for: TextRequest) -> None:
        self._scorer, self._asked = scorer, asked_for
        self.lengths = asked_for.lengths
        self.max_window = min(len(asked_for.texts), labels.MOST)
        self.room = UNBOUNDED

    async def score(self, indices: tuple[int, ...]) -> Scores:
        return await self._scorer.score(self._asked, indices)

    def close(self) -> None:
        """Nothing outlives a session: a window whose caller was cancelled has been hung up on."""


def _is_of_format(error: ModelError) -> bool:
    """Whether a host refused the schema itself: it says so in a 400 or 422, or answers with something else."""
    said = str(error).lower()
    return any(word in said for word in ("response_format", "json_schema", "schema", "structured", "guided", "grammar", "names none"))


def _usage(answer: Any, read: int, written: int) -> tuple[int, int]:
    """Tokens read and written, as the host counts them; where it does not, what was reckoned with."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    return int(usage.get("prompt_tokens", read)), int(usage.get("completion_tokens", written))
