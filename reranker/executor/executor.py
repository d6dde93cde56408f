"""Drives many requests' strategies over one scorer: the one code path for a window, everywhere.

Each request is a task that asks its strategy for windows and sends the scores back. Windows of one round run together,
and so do windows of different requests; what is in flight is bounded in tokens. Command line, server, evaluation, training
and Ray workers all rank through here.
"""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from firstrank.reranker.errors import DeadlineExceeded, InputError, PassageCut, ScorerError, TransientError
from firstrank.reranker.executor.gate import Alive, TokenGate
from firstrank.reranker.executor.ranking import Log, name_of, ranking
from firstrank.reranker.scorers.base import Scorer, Session, judge_of, reading_of, room_of, standing_of
from firstrank.reranker.types import Failure, Outcome, Ranking, Request, Scores, Strategy, View, Windows

_TRIES = 4
_SILENCES = 2  # times that a window may go unanswered
_PATIENCE = 3600.0
_FIRST_PAUSE = 0.1  # seconds; doubles with each try
_MANY = 2000
"""candidates in windows, from which on their scores are aligned on a thread: it may take a second"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request asks for beside its order."""

    deadline: float | None = None
    """a time of the event loop's clock"""
    max_windows: int | None = None
    whole: bool = False
    """no passage may be cut"""
    partial: bool = False
    """at the deadline, the best order so far will do"""


class Executor:
    """Ranks requests with a scorer. Belongs to one event loop.

    `max_tokens` bounds the prompt tokens of all windows in flight (a larger window goes alone); `seed` and a request's qid
    seed whatever a strategy draws. A window that its scorer leaves unanswered for `patience` seconds is asked once more, then fails.
    """

    def __init__(self, scorer: Scorer, *, max_tokens: int = 1 << 18, seed: int = 0, patience: float = _PATIENCE) -> None:
        self.scorer = scorer
        self._patience = patience
        self._tokens = TokenGate(max_tokens)
        self._seed = seed
        self._assembling = asyncio.Lock()
        self._encoder = ThreadPoolExecutor(1, "firstrank-encoder")
        self._aligner = ThreadPoolExecutor(1, "firstrank-aligner")

    async def rank(self, request: Request, strategy: Strategy, terms: Terms = Terms()) -> Ranking:
        """The ranking of one request.

        Raises InputError (a query too long, more windows than the terms allow …), ScorerError (a window failed for good),
        DeadlineExceeded. Cancelling it takes back every window that is not being scored yet.
        """
        try:
            if terms.partial:
                return await self._rank(request, strategy, terms)
            async with asyncio.timeout_at(terms.deadline):
                return await self._rank(request, strategy, terms)
        except TimeoutError as error:
            raise DeadlineExceeded(f"query {request.qid!r}: not ranked in time") from error

    async def stream(self, requests: Iterable[Request], strategy: Strategy, *, ordered: bool = True) -> AsyncIterator[Ranking | Failure]:
        """Rankings of many requests, in their order or as they finish; a request that fails gives a Failure.

        Reads `requests` lazily and keeps as many alive as the scorer says it needs. Closing the iterator cancels the rest.
        """
        coroutines = (self._guarded(request, strategy) for request in requests)
        alive = Alive(self.scorer.concurrency)
        try:
            while True:
                alive.fill(coroutines)
                if not alive:
                    return
                yield await (alive.first() if ordered else alive.any())
        finally:
            await alive.cancel()

    def close(self) -> None:
        for threads in (self._encoder, self._aligner):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _guarded(self, request: Request, strategy: Strategy) -> Ranking | Failure:
        try:
            return await self.rank(request, strategy)
        except Exception as error:
            return Failure(request, error)

    async def _rank(self, request: Request, strategy: Strategy, terms: Terms) -> Ranking:
        started = time.perf_counter()
        log = Log()
        standing, opinion = None, None
        if request.passages:
            async with asyncio.timeout_at(terms.deadline):
                session = await self._open(request)
            try:
                standing, log.reading = standing_of(session), reading_of(session)
                if terms.whole and log.reading is not None and log.reading.cut:
                    of_all = f"{log.reading.cut} of {len(request.passages)} passages"
                    raise PassageCut(f"{of_all} would be cut at {log.reading.tokens} tokens, and all are wanted whole")
                outcome = await self._outcome(request, session, strategy, log, terms)
                if (judge := judge_of(session)) is not None:
                    opinion = judge(log.readings)
            finally:
                session.close()
        else:
            outcome = Outcome(order=(), certified=0)
        seconds = time.perf_counter() - started
        async with self._assembling:  # one in each turn of the loop: dozens that end together would keep the scorer waiting
            await asyncio.sleep(0)
            if sum(len(window) for _, window, _ in log.asked) < _MANY:
                return ranking(request, strategy, outcome, log, seconds, standing, opinion)
        assemble = partial(ranking, request, strategy, outcome, log, seconds, standing, opinion)
        return await asyncio.get_running_loop().run_in_executor(self._aligner, assemble)

    async def _outcome(self, request: Request, session: Session, strategy: Strategy, log: Log, terms: Terms) -> Outcome:
        """The strategy's last word, or at the deadline of a request that says so, what its windows so far say."""
        try:
            async with asyncio.timeout_at(terms.deadline):
                return await self._advance(request, session, strategy, log, terms.max_windows)
        except TimeoutError:
            if not (terms.partial and log.asked):
                raise
        log.partial = True
        standing = standing_of(session)
        order = standing.order if standing is not None else range(len(request.passages))
        return Outcome(so_far(order, [(window, scores.values) for _, window, scores in log.asked]), 0, ("partial: the time ran out",))

    async def _open(self, request: Request) -> Session:
        """Encoding takes milliseconds, so it has a thread; a request that is cancelled meanwhile leaves no session open."""
        opening = self._encoder.submit(self.scorer.open, request)
        opened = asyncio.wrap_future(opening)
        try:
            return await asyncio.shield(opened)
        except asyncio.CancelledError:
            if not opening.cancel():
                opened.add_done_callback(_close_opened)  # it cannot be stopped, and the loop must not wait for it
            raise

    async def _advance(self, request: Request, session: Session, strategy: Strategy, log: Log, max_windows: int | None) -> Outcome:
        """Runs one strategy to its end."""
        seed = zlib.crc32(f"{self._seed}:{request.qid}:{request.query}".encode("utf-8", "surrogatepass"))
        n = len(request.passages)
        if standing := standing_of(session):
            strategy = standing.before(strategy)
        generator = strategy(View(n, session.lengths, session.max_window, seed, room_of(session)))
        try:
            windows = next(generator)
            while True:
                if max_windows is not None and len(log.asked) + len(windows) > max_windows:
                    raise InputError(too_many_windows(name_of(strategy), n, max_windows))
                answers = await self._round(session, windows, request.owner)
                log.add(windows, answers)
                windows = generator.send(answers)
        except StopIteration as stop:
            outcome: Outcome = stop.value
        finally:
            generator.close()
        if sorted(outcome.order) != list(range(n)):
            raise ScorerError(f"query {request.qid!r}: the strategy {name_of(strategy)!r} did not return each of its {n} candidates once")
        return outcome

    async def _round(self, session: Session, windows: Windows, client: str) -> list[Scores]:
        if len(windows) == 1:
            return [await self._window(session, windows[0], client)]
        tasks = [asyncio.ensure_future(self._window(session, window, client)) for window in windows]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _window(self, session: Session, window: tuple[int, ...], client: str) -> Scores:
        tokens = sum(session.lengths[i] for i in window)
        held = await self._tokens.acquire(tokens, session, client)
        try:
            scores = await _patiently(session, window, self._patience)
        finally:
            self._tokens.release(held, session, client)
        if len(scores.values) != len(window) or not all(map(math.isfinite, scores.values)):
            raise ScorerError(
                f"the scorer gave {scores.values} for a window of {len(window)}: it must give one finite number per candidate"
            )
        return scores


def so_far(order: Sequence[int], windows: Sequence[tuple[Sequence[int], Sequence[float]]]) -> list[int]:
    """`order` after each window has put its candidates, by its scores, into the places that they had among themselves."""
    found = list(order)
    place = {candidate: i for i, candidate in enumerate(found)}
    for indices, values in windows:
        places = sorted(place[candidate] for candidate in indices)
        ranked = [candidate for _, candidate in sorted(zip(values, indices, strict=True), key=lambda pair: -pair[0])]
        for here, candidate in zip(places, ranked, strict=True):
            found[here], place[candidate] = candidate, here
    return found


def too_many_windows(strategy: str, n: int, most: int) -> str:
    return f"strategy {strategy!r} takes more than {most} windows for {n} documents, the most that a request may have"


def _close_opened(opened: asyncio.Future[Session]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


async def _patiently(session: Session, window: tuple[int, ...], patience: float) -> Scores:
    """The window's scores, tried again after transient faults."""
    faults = silences = 0
    while True:
        try:
            async with asyncio.timeout(patience) as limit:
                return await session.score(window)
        except TransientError:
            faults += 1
            if faults == _TRIES:
                raise
            await asyncio.sleep(_FIRST_PAUSE * 2 ** (faults - 1))
        except TimeoutError as error:
            if not limit.expired():
                raise
            silences += 1
            if silences == _SILENCES:
                raise ScorerError(f"the scorer left a window of {len(window)} unanswered {silences} times, {patience:g} s each") from error
