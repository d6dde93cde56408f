"""Reranker: the object that people import."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Unpack

from firstrank.reranker.documents import Document, request_of
from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.executor.loop import LoopThread
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.setup import ScheduleSettings, Setup, SetupSettings, check_names
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Failure, Ranking, Request, Strategy


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
    ) -> Ranking:
        """The documents (strings, mappings, Passages, a data frame with a column `text`), best first.

        `doc_ids` default to the documents' own ids, else to their places "0", "1", …
        With `top_k`, a strategy that can stop early does so, and the ranking holds the best `top_k` only.
        Raises InputError (query too long, ids not distinct …) and ScorerError.
        """
        return self._loop.run(self._rank(request_of(query, documents, doc_ids, qid), top_k))

    async def rank_async(
        self,
        query: str,
        documents: Iterable[Document],
        doc_ids: Iterable[str | int] | None = None,
        top_k: int | None = None,
        *,
        qid: str | int = "",
    ) -> Ranking:
        """`rank`, awaited; cancelling it takes its windows back."""
        return await self._loop.run_async(self._rank(request_of(query, documents, doc_ids, qid), top_k))

    def rank_many(self, requests: Iterable[Request]) -> Iterator[Ranking]:
        """Rankings in the order of `requests`, which are read lazily. The first failure is raised."""
        for result in self.stream(requests):
            if isinstance(result, Failure):
                raise result.error
            yield result

    def stream(self, requests: Iterable[Request], *, ordered: bool = True, strategy: Strategy | None = None) -> Iterator[Ranking | Failure]:
        """Rankings and failures, in the order of `requests` or as they finish."""
        return self._loop.iterate(self._executor.stream(_checked(requests), strategy or self._strategy, ordered=ordered))

    def close(self) -> None:
        """Frees the model; idempotent. A call that comes later raises InputError."""
        self._executor.close()
        self._loop.cancel()
        self.scorer.close()
        self._loop.close()

    def __enter__(self) -> Reranker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def _rank(self, request: Request, top_k: int | None) -> Ranking:
        if top_k is None:
            return await self._executor.rank(request, self._strategy)
        top_k = _count(top_k)
        strategy = self.schedule.build(top_k=min(top_k, len(request.passages)) or None)
        ranking = await self._executor.rank(request, strategy)
        return Ranking(ranking.qid, ranking.query, ranking.top_k(top_k), ranking.trace)


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
    return model, schedule or Schedule(**{name: value for name, value in settings.items() if value is not None})  # type: ignore[arg-type]


def _count(top_k: object) -> int:
    try:
        count = 0 if isinstance(top_k, bool) else operator.index(top_k)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"top_k={top_k!r}: must be at least 1, and a whole number")
    return count


def _checked(requests: Iterable[Request]) -> Iterator[Request]:
    """The requests, each of them one. Raises InputError."""
    if isinstance(requests, (Request, str)) or not isinstance(requests, Iterable):
        raise InputError(f"requests is one {type(requests).__name__}: give a list of Requests, or call rank")
    return map(_request, requests)


def _request(request: object) -> Request:
    if not isinstance(request, Request):
        raise InputError(f"a request is {type(request).__name__}: give Requests, Request(query, passages, qid)")
    return request
