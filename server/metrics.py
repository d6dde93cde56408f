"""What Prometheus reads at `/metrics`: requests, windows, tokens, batches, the queue, rejections."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from firstrank.reranker.scorers.base import Scorer, Session, judge_of, reading_of, room_of, standing_of
from firstrank.reranker.types import Request, Scores
from firstrank.server.admission import WORK
from firstrank.server.pace import Pace

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One service's figures, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        to = self._registry
        self.request_seconds = Histogram(
            "firstrank_request_seconds",
            "From a request's headers to its answer.",
            ("route", "status", "model"),
            buckets=_SECONDS,
            registry=to,
        )
        self.queue_seconds = Histogram(
            "firstrank_queue_seconds", "Waiting for a slot, of ranked requests.", ("model",), buckets=_SECONDS, registry=to
        )
        self.window_seconds = Histogram(
            "firstrank_window_seconds", "From asking for a window to its scores.", ("model",), buckets=_SECONDS, registry=to
        )
        self.batch_windows = Histogram(
            "firstrank_batch_windows", "Windows that shared a window's batch, itself included.", ("model",), buckets=_SIZES, registry=to
        )
        self.windows = Counter("firstrank_windows", "Windows scored.", ("model",), registry=to)
        self.prompt_tokens = Counter("firstrank_prompt_tokens", "Prompt tokens scored.", ("model",), registry=to)
        self.generated_tokens = Counter("firstrank_generated_tokens", "Tokens generated.", ("model",), registry=to)
        self.documents = Counter("firstrank_documents", "Documents ranked.", ("model",), registry=to)
        self.rejections = Counter("firstrank_rejections", "Requests that got no ranking, by reason.", ("reason",), registry=to)
        self._inside = Gauge("firstrank_requests_inside", "Requests that are being read, wait or are being ranked.", registry=to)
        self._waiting = Gauge("firstrank_requests_waiting", "Requests that wait for a slot.", ("model",), registry=to)
        self._running = Gauge("firstrank_requests_running", "Requests that are being ranked.", ("model",), registry=to)
        self.in_flight = Gauge("firstrank_windows_in_flight", "Windows asked for and not answered yet.", ("model",), registry=to)
        self._ready = Gauge("firstrank_model_ready", "1 where a model can rank.", ("model",), registry=to)
        self._pace = Gauge("firstrank_window_pace_seconds", "Seconds that a window takes of the model's time.", ("model",), registry=to)
        self._connections = Gauge("firstrank_connections", "Connections that are open.", registry=to)
        self.closed_connections = Counter(
            "firstrank_closed_connections", "Connections that the service ended, by reason.", ("reason",), registry=to
        )
        self.cut = Counter("firstrank_cut_documents", "Documents of which only a part was read.", ("model",), registry=to)
        build = Info("firstrank_build", "Version of the service and of what it runs on.", registry=to)
        build.info({"version": version("firstrank"), "python": platform.python_version(), "torch": version("torch")})
        ProcessCollector(registry=to)

    def watch_inside(self, inside: Callable[[], int]) -> None:
        self._inside.set_function(inside)

    def watch_connections(self, count: Callable[[], int]) -> None:
        self._connections.set_function(count)

    def watch_model(
        self, model: str, waiting: Callable[[], int], running: Callable[[], int], ready: Callable[[], bool], pace: Callable[[], float]
    ) -> None:
        """Gauges that are read when Prometheus asks."""
        self._pace.labels(model).set_function(pace)
        self._waiting.labels(model).set_function(waiting)
        self._running.labels(model).set_function(running)
        self._ready.labels(model).set_function(ready)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class MeteredScorer:
    """A scorer whose windows are counted, those of failed and cancelled requests included."""

    def __init__(self, scorer: Scorer, metrics: Metrics, model: str, pace: Pace) -> None:
        self._scorer, self.pace = scorer, pace
        self.name, self.concurrency = scorer.name, scorer.concurrency
        self.seconds = metrics.window_seconds.labels(model)
        self.batch = metrics.batch_windows.labels(model)
        self.windows = metrics.windows.labels(model)
        self.prompt_tokens = metrics.prompt_tokens.labels(model)
        self.generated_tokens = metrics.generated_tokens.labels(model)
        self.in_flight = metrics.in_flight.labels(model)

    def open(self, request: Request) -> Session:
        return _MeteredSession(self._scorer.open(request), self)

    def close(self) -> None:
        self._scorer.close()


class _MeteredSession:
    def __init__(self, session: Session, meters: MeteredScorer) -> None:
        self._session, self._meters = session, meters
        self.lengths: Sequence[int] = session.lengths
        self.max_window = session.max_window
        self.room = room_of(session)
        self.reading = reading_of(session)
        self.standing = standing_of(session)
        self.judge = judge_of(session)

    async def score(self, indices: tuple[int, ...]) -> Scores:
        meters, started = self._meters, time.perf_counter()
        meters.in_flight.inc()
        meters.pace.begin()
        scores = None
        try:
            scores = await self._session.score(indices)
        finally:
            meters.in_flight.dec()
            meters.pace.end(scored=scores is not None)
        if (work := WORK.get()) is not None:
            work.left = max(1, work.left - 1)
            work.tokens += scores.prompt_tokens + scores.generated_tokens
        meters.seconds.observe(time.perf_counter() - started)
        meters.batch.observe(scores.batch)
        meters.windows.inc()
        meters.prompt_tokens.inc(scores.prompt_tokens)
        meters.generated_tokens.inc(scores.generated_tokens)
        return scores

    def close(self) -> None:
        self._session.close()
