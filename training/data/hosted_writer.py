"""Queries written by a hosted LLM over the chat API, several at a time, out of a purse that holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from typing import Any

from firstrank.reranker.errors import EngineLost, InputError, ModelError, ScorerError, TransientError
from firstrank.reranker.executor.loop import LoopThread
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.scorers.chat.answers import text_of
from firstrank.reranker.scorers.chat.client import Ask, Body, ChatClient, usage_of
from firstrank.reranker.scorers.chat.options import ChatOptions
from firstrank.reranker.scorers.chat.purse import CeilingReached
from firstrank.reranker.types import Passage
from firstrank.training.data.questions import Asking, Written
from firstrank.training.data.selection import Selection

_SYSTEM = "You write search queries. Answer with one query alone, on one line."
_TOKENS = 64
"""of an answer, unless told otherwise"""
_TRIES = 6
_TRIAL = Passage("trial", "Bees make honey from the nectar of flowers, and keep it in combs of wax as food for the winter.")


class HostedWriter:
    """Each host is tried out when this is made: ModelError where it cannot answer. `spent` is what was paid before."""

    def __init__(self, spec: ModelSpec, options: ChatOptions, asking: Asking, spent: float = 0.0) -> None:
        if "format" in options.server.model_fields_set:
            raise InputError("--engine-arg format: is an ordering's, and a query is text: leave it out")
        self._client = ChatClient(spec, options)
        self._client.purse.spent = spent
        self._asking = asking
        self._more: dict[str, Any] = {} if asking.likeliest is None else {"logprobs": True}
        self._tokens = options.server.answer_tokens or _TOKENS
        self._client.tried(self._try_out)

    def write(self, passages: Sequence[Passage], done: Container[str], selection: Selection) -> Iterator[Written]:
        """As the hosts answer. A passage that they do not answer for this time is counted in `selection`.

        When the ceiling is reached or no host is left, answers on their way are waited for; then CeilingReached or EngineLost.
        """
        loop = LoopThread()
        try:
            yield from loop.iterate(self._all([passage for passage in passages if passage.docid not in done], selection))
        finally:
            self._client.close()
            loop.close()

    async def _all(self, passages: Sequence[Passage], selection: Selection) -> AsyncIterator[Written]:
        waiting, running = list(reversed(passages)), dict[asyncio.Task[Written], Passage]()
        fatal: ScorerError | None = None
        try:
            while (waiting and fatal is None) or running:
                while waiting and fatal is None and len(running) < self._client.concurrency:
                    passage = waiting.pop()
                    running[asyncio.create_task(self._one(passage))] = passage
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    passage = running.pop(task)
                    try:
                        yield task.result()
                    except (CeilingReached, EngineLost) as error:
                        fatal = fatal or error
                    except TransientError as error:
                        selection.drop(f"no answer after {_TRIES} tries: {error}", passage.docid)
        finally:
            for task in running:
                task.cancel()
        if fatal is not None:
            raise fatal

    async def _one(self, passage: Passage) -> Written:
        """Raises TransientError, EngineLost, CeilingReached; what a host refuses or answers wrongly is the passage's fault."""
        body = self._body(passage)
        cost = 0.0
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = await self._client.ask(body, lambda _: body, self._tokens)
                cost = answer.cost
                return Written(passage.docid, text_of(answer.said), self._likelihood(answer.said), cost)
            except TransientError:
                if not tries_left:
                    raise
            except (CeilingReached, EngineLost):
                raise
            except ScorerError as error:
                return Written(passage.docid, "", cost=cost, fault=f"the model failed: {error}")
        raise AssertionError("every try returns or raises")

    def _try_out(self, url: str, ask: Ask) -> None:
        """A short passage shows whether a host answers, and it is paid for as well."""
        body, purse = self._body(_TRIAL), self._client.purse
        read = len(json.dumps(body))
        aside = purse.set_aside(read, self._tokens)
        answer = ask(body)
        purse.settle(aside, *usage_of(answer, read, self._tokens))
        try:
            text_of(answer)
            self._likelihood(answer)
        except ScorerError as error:
            raise ModelError(f"{url}: {error}") from error

    def _body(self, passage: Passage) -> Body:
        return self._client.body(_SYSTEM, self._asking.of(passage), self._tokens, **self._more)

    def _likelihood(self, answer: Any) -> float | None:
        """The mean log probability of the answer's tokens, where it was asked for."""
        if not self._more:
            return None
        found = (answer["choices"][0].get("logprobs") or {}).get("content") or []
        if not found:
            raise ScorerError("the host tells no log probabilities, which --likeliest goes by: leave it out")
        return sum(float(one["logprob"]) for one in found) / len(found)
