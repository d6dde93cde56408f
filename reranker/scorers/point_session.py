"""The session of models that read a passage at a time: a passage is read once a request, in whatever windows it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from firstrank.reranker.errors import TransientError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt.pointwise import PointPrompter, PointRequest
from firstrank.reranker.scorers.prompt_session import PromptScorer, PromptSession
from firstrank.reranker.types import Request, Scores

Indices = tuple[int, ...]
Read = Callable[[PointRequest, Indices], Awaitable[Scores]]
"""the scores of some candidates of a request, one value each"""


class PointSession:
    """One request's passages. What was read, or is being read, is not read again; what failed is, when it is next asked for.

    With `apart`, each passage is a reading of its own: a scorer that has its own way to run many at once.
    """

    def __init__(self, encoded: PointRequest, read: Read, name: str, *, apart: bool = False) -> None:
        self._encoded, self._read, self._name, self._apart = encoded, read, name, apart
        self._readings: dict[int, tuple[asyncio.Task[Scores], int]] = {}
        """candidate -> the reading that holds its score, and its place there"""
        self.lengths: Sequence[int] = encoded.lengths
        self.max_window = encoded.max_window
        self.room = encoded.room
        self.reading = encoded.reading

    async def score(self, indices: Indices) -> Scores:
        """The scores of any candidates; a score does not depend on the others. Tokens and seconds are of what had not been read before."""
        started = self._start(tuple(dict.fromkeys(i for i in indices if i not in self._readings)))
        found = {i: self._readings[i] for i in indices}
        try:
            await asyncio.wait({task for task, _ in found.values()})
        except asyncio.CancelledError:
            for task in started:
                task.cancel()
            raise
        finally:
            self._readings = {i: reading for i, reading in self._readings.items() if not _failed(reading[0])}
        value = {i: _answer(task).values[place] for i, (task, place) in found.items()}
        return _whole(tuple(value[i] for i in indices), [task.result() for task in started], self._name)

    def close(self) -> None:
        """Nothing outlives a session: a reading whose caller was cancelled has been cancelled with it."""

    def _start(self, unread: Indices) -> list[asyncio.Task[Scores]]:
        groups = [(i,) for i in unread] if self._apart else [unread] if unread else []
        tasks = []
        for group in groups:
            task = asyncio.ensure_future(self._read(self._encoded, group))
            self._readings |= {i: (task, place) for place, i in enumerate(group)}
            tasks.append(task)
        return tasks


class NamedPromptScorer(PromptScorer, Protocol):
    """One that traces can name."""

    @property
    def name(self) -> str: ...


def open_session(scorer: NamedPromptScorer, model: Model, request: Request) -> PromptSession | PointSession:
    """The session of a scorer that takes prompts alone: of windows, or of one passage each, as the model reads."""
    if (prompter := model.pointwise) is None:
        return PromptSession(scorer, model.prompter.encode(request))
    return PointSession(prompter.encode(request), by_prompt(scorer, prompter), scorer.name, apart=True)


def by_prompt(scorer: PromptScorer, prompter: PointPrompter) -> Read:
    """Each passage as a prompt of its own, at an engine that keeps the header that they share."""

    async def read(encoded: PointRequest, indices: Indices) -> Scores:
        [index] = indices
        scores = await scorer.score(encoded.prompt(index), 1)
        return replace(scores, values=(prompter.value(scores.values),))

    return read


def _failed(task: asyncio.Task[Scores]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _answer(task: asyncio.Task[Scores]) -> Scores:
    if task.cancelled():
        raise TransientError("another window that wanted the same passage was taken back while it was being read")
    return task.result()


def _whole(values: tuple[float, ...], parts: Sequence[Scores], name: str) -> Scores:
    return Scores(
        values,
        sum(part.prompt_tokens for part in parts),
        sum(part.generated_tokens for part in parts),
        max((part.seconds for part in parts), default=0.0),
        name,
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        max((part.batch for part in parts), default=1),
    )
