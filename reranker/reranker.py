"""Reranker: the object that people import."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any, Unpack

from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.executor.loop import LoopThread
from firstrank.reranker.runs.documents import Document, request_of
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.setup import ScheduleSettings, Setup, SetupSettings, check_names
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import UNCALIBRATED, Failure, Ranking, Request, Strategy, check_probability

Asked = Request | tuple[str, Iterable[Document]]
"""what is ranked: a Request, or a query with its documents"""


class Reranker:
    """Orders candidates for a query with a listwise language model.

    >>> reranker = Reranker("default")
    >>> ranking = reranker.rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])
    >>> ranking[0].docid
    '1'

    `model` is a name (`firstrank models list`), a local folder, a Hugging Face id, a `Setup`, or a Scorer of your own. `settings`
    are those of the command line, by the same names: `backend`, `device`, `dtype`, `threads`, `strategy` ("topdown:k=10"),
    `window`, `cascade` …; see `SetupSettings`. What is not said is the model's own. With a Setup all is said already; a Scorer
    takes `strategy`, `window`, `stride`, `passes`, `top_k` and `seed`, or a whole `schedule`.

    The calls work inside a running event loop and from several threads; windows of all callers share batches. Raises InputError
    for a setting that does not exist or has no effect, ModelError, MissingExtra.
    """

    def __init__(
        self, model: str | Scorer | Setup = "default", *, schedule: Schedule | None = None, **settings: Unpack[SetupSettings]
    ) -> None:
        self.scorer, self.schedule = _opened(model, schedule, settings)
        self._strategy = self.schedule.build()
        self._executor = Executor(self.scorer, seed=self.schedule.seed)
        self._loop = LoopThread()

    def rank(
        self,
        query: str,
        documents: Iterable[Document],
        doc_ids: Iterable[str | int] | None = None,
        top_k: int | None = None,
        *,
        qid: str | int = "",
        instruction: str | None = None,
        min_probability: float | None = None,
    ) -> Ranking:
        """The documents (strings, mappings, Passages, a data frame with a column `text`), best first.

        `doc_ids` default to the documents' own ids, else to their places "0", "1", …
        With `top_k`, a strategy that can stop early does so, and the ranking holds the best `top_k` only.
        `instruction` says what is searched for and how to judge it, where the model's prompt has a place for that.
        With `min_probability`, results that are relevant with a lower probability are left out; it takes a calibrated model.
        Raises InputError (query too long, ids not distinct, no place for an instruction …) and ScorerError.
        """
        request = replace(request_of(query, documents, doc_ids, qid), instruction=instruction)
        return self._loop.run(self._rank(request, top_k, min_probability))

    async def rank_async(
        self,
        query: str,
        documents: Iterable[Document],
        doc_ids: Iterable[str | int] | None = None,
        top_k: int | None = None,
        *,
        qid: str | int = "",
        instruction: str | None = None,
        min_probability: float | None = None,
    ) -> Ranking:
        """`rank`, awaited; cancelling it takes its windows back."""
        request = replace(request_of(query, documents, doc_ids, qid), instruction=instruction)
        return await self._loop.run_async(self._rank(request, top_k, min_probability))

    def rank_many(self, requests: Iterable[Asked]) -> Iterator[Ranking]:
        """Rankings in the order of `requests` (Requests, or pairs of a query and its documents), which are read lazily.

        The first failure is raised. A pair's qid is its place: "0", "1", …
        """
        for result in self.stream(requests):
            if isinstance(result, Failure):
                raise result.error
            yield result

    def stream(self, requests: Iterable[Asked], *, ordered: bool = True, strategy: Strategy | None = None) -> Iterator[Ranking | Failure]:
        """Rankings and failures, in the order of `requests` or as they finish.

        Raises InputError for what is no Request, nor a query with documents that can be ranked.
        """
        if isinstance(requests, (Request, str)) or not isinstance(requests, Iterable):
            raise InputError(f"requests is one {type(requests).__name__}: give a list of Requests, or call rank")
        asked = map(_request, requests, count())
        return self._loop.iterate(self._executor.stream(asked, strategy or self._strategy, ordered=ordered))

    def close(self) -> None:
        """Frees the model; idempotent. A call that comes later raises InputError. What was forked has nothing to free."""
        if self._loop.inherited:
            return
        self._executor.close()
        self._loop.cancel()
        self.scorer.close()
        self._loop.close()

    def __reduce__(self) -> Any:
        raise InputError("a Reranker holds a model and threads, and is not copied or pickled: pass a Setup, and make Reranker(setup) there")

    def __enter__(self) -> Reranker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def calibrated(self) -> bool:
        """Whether results have a probability."""
        return getattr(self.scorer, "calibration", None) is not None

    async def _rank(self, request: Request, top_k: int | None, least: float | None) -> Ranking:
        if least is not None:
            check_probability(least)
            if not self.calibrated:
                raise InputError(UNCALIBRATED)
        whole = await self._ranked(request, top_k)
        return whole if least is None else whole.at_least(least)

    async def _ranked(self, request: Request, top_k: int | None) -> Ranking:
        if top_k is None:
            return await self._executor.rank(request, self._strategy)
        top_k = _count(top_k)
        strategy = self.schedule.build(top_k=min(top_k, len(request.passages)) or None)
        ranking = await self._executor.rank(request, strategy)
        return replace(ranking, results=ranking.top_k(top_k))


def _opened(model: str | Scorer | Setup, schedule: Schedule | None, settings: SetupSettings) -> tuple[Scorer, Schedule]:
    """The scorer and its schedule."""
    timed = [name for name in settings if name in ScheduleSettings.__annotations__]
    if schedule is not None and timed:
        raise InputError(f"{', '.join(timed)}: part of the schedule, which is given whole; say it there")
    if isinstance(model, Setup):
        if schedule is not None or settings:
            raise InputError(f"{', '.join([*settings, *(['schedule'] if schedule else [])])}: the Setup says it all; say it there")
        return model.open_scorer()
    if isinstance(model, str):
        setup = Setup.of(model, **settings)
        return (setup if schedule is None else replace(setup, schedule=schedule)).open_scorer()
    check_names(settings, (*ScheduleSettings.__annotations__, "schedule"))
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    return model, schedule or Schedule(**given)


def _request(asked: Asked, place: int) -> Request:
    if isinstance(asked, Request):
        return asked
    try:
        if not isinstance(asked, tuple | list) or len(asked) != 2 or not isinstance(asked[0], str):
            raise InputError(f"is {type(asked).__name__}: give a Request, or a pair of a query and its documents")
        return request_of(*asked, qid=str(place))
    except InputError as error:
        raise InputError(f"request {place}: {error}") from error


def _count(top_k: object) -> int:
    try:
        found = 0 if isinstance(top_k, bool) else operator.index(top_k)  # type: ignore[arg-type]  # what is no number raises TypeError
    except TypeError:
        found = 0
    if found < 1:
        raise InputError(f"top_k={top_k!r}: must be at least 1, and a whole number")
    return found
