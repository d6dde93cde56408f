"""Windows ordered by a hosted LLM over the OpenAI-compatible chat API (RankGPT, arXiv 2304.09542): the whole ordering is written out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.prompt import labels
from firstrank.reranker.prompt.template import Template
from firstrank.reranker.scorers.chat.answers import asking_for_json, ordering_of, schema, text_of
from firstrank.reranker.scorers.chat.client import Ask, Body, ChatClient
from firstrank.reranker.scorers.chat.options import ChatOptions
from firstrank.reranker.scorers.chat.purse import Purse
from firstrank.reranker.scorers.text_window import TextRequest
from firstrank.reranker.types import UNBOUNDED, Passage, Request, Scores

_PER_PLACE = 5
"""tokens that an ordering takes for each passage, at most"""
_AROUND = 32
_TRIAL = Request("do bees make honey?", (Passage("0", "Stones are hard."), Passage("1", "Bees make honey.")), "trial")

_log = logging.getLogger(__name__)


class ChatScorer:
    """A scorer over hosts of one LLM. Each is tried out when this is made: ModelError where it cannot answer as it must."""

    def __init__(self, spec: ModelSpec, options: ChatOptions) -> None:
        self.name, self._settings = spec.name, options.server
        self._template: Template = spec.read_template()
        self._client = ChatClient(spec, options)
        self._as_json = self._client.tried(self._try_out)

    @property
    def purse(self) -> Purse:
        """What was spent."""
        return self._client.purse

    @property
    def concurrency(self) -> int:
        return self._client.concurrency

    @property
    def alive(self) -> bool:
        """False while no host answers as it should."""
        return self._client.alive

    def open(self, request: Request) -> ChatSession:
        return ChatSession(self, TextRequest.of(request, self._template))

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    async def score(self, asked_for: TextRequest, indices: Sequence[int]) -> Scores:
        """The ordering of a window as scores. Raises TransientError, EngineLost, ScorerError (a ceiling that is reached, too)."""
        started = time.perf_counter()
        answer = await self._client.ask(
            self._body(asked_for, indices, as_json=True),
            lambda url: self._body(asked_for, indices, as_json=self._as_json[url]),
            self._answer_tokens(len(indices)),
        )
        parsed = ordering_of(text_of(answer.said), labels.numbers(len(indices)))
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, *answer.usage, time.perf_counter() - started, self.name, notes, cost=answer.cost)

    def _try_out(self, url: str, ask: Ask) -> bool:
        """Whether a host takes a JSON schema; a small window shows it."""
        if self._settings.format != "text":
            try:
                self._trial(url, ask, as_json=True)
                return True
            except ModelError as error:
                if self._settings.format == "json" or not _is_of_format(error):
                    raise
                _log.info("%s takes no JSON schema (%s): its answers are read as text", url, error)
        self._trial(url, ask, as_json=False)
        return False

    def _trial(self, url: str, ask: Ask, *, as_json: bool) -> None:
        asked_for = TextRequest("do bees make honey?", "", tuple(passage.text for passage in _TRIAL.passages))
        answer = ask(self._body(asked_for, (0, 1), as_json=as_json))
        try:
            ordering_of(text_of(answer), labels.numbers(2))
        except ScorerError as error:
            raise ModelError(f"{url}: {error}") from error

    def _body(self, asked_for: TextRequest, indices: Sequence[int], *, as_json: bool) -> Body:
        template, n = self._template, len(indices)
        passages = asked_for.labelled(template, indices, labels.numbers(n))
        user = asked_for.filled(template.before, template, n) + passages + asked_for.filled(template.after, template, n)
        system = asked_for.filled(template.system, template, n)
        shape = {"response_format": schema(n)} if as_json else {}
        return self._client.body(system, asking_for_json(user) if as_json else user, self._answer_tokens(n), **shape)

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
