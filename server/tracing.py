"""OpenTelemetry: a span for each request and its parts, where a collector is named. The ids of `traceparent` are in the log in any case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from firstrank.reranker.errors import MissingExtra
from firstrank.reranker.scorers.openai.servers import PASSED_ON

_PARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SHOWN = ("model", "documents", "windows", "prompt_tokens", "reason", "partial", "cut")


class Span:
    """A request that nobody traces: only the caller's trace id is known."""

    def __init__(self, traceparent: str) -> None:
        found = _PARENT.fullmatch(traceparent)
        self.trace_id = found[1] if found else None

    def end(self, status: int, facts: Mapping[str, Any], request_id: str) -> None:
        """Nothing is written."""


class Tracing:
    """Without a collector."""

    @contextmanager
    def request(self, method: str, route: str, traceparent: str) -> Iterator[Span]:
        """The span of a request, from its headers to its answer. Servers that score its windows are told of it."""
        span = Span(traceparent)
        before = PASSED_ON.set({"traceparent": traceparent} if span.trace_id else {})
        try:
            yield span
        finally:
            PASSED_ON.reset(before)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A span within it."""
        yield

    def close(self) -> None:
        """Sends what has not been sent."""


class _Recorded(Span):
    def __init__(self, span: Any) -> None:
        self._span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def end(self, status: int, facts: Mapping[str, Any], request_id: str) -> None:
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("firstrank.request_id", request_id)
        for name in _SHOWN:
            if facts.get(name) is not None:
                self._span.set_attribute(f"firstrank.{name}", facts[name])


class Exported(Tracing):
    """To a collector. Raises MissingExtra without OpenTelemetry's SDK. `exporter` stands in for the one over HTTP, in tests."""

    def __init__(self, endpoint: str, exporter: Any = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingExtra("opentelemetry-sdk", "otel", "otlp_endpoint") from error
        self._provider = TracerProvider(resource=Resource.create({"service.name": "firstrank"}))
        exporter = exporter or OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("firstrank.server")
        self._context, self._kind = TraceContextTextMapPropagator(), trace.SpanKind.SERVER

    @contextmanager
    def request(self, method: str, route: str, traceparent: str) -> Iterator[Span]:
        parent = self._context.extract({"traceparent": traceparent} if traceparent else {})
        attributes = {"http.request.method": method, "http.route": route}
        with self._tracer.start_as_current_span(f"{method} {route}", parent, self._kind, attributes) as span:
            headers: dict[str, str] = {}
            self._context.inject(headers)
            before = PASSED_ON.set(headers)
            try:
                yield _Recorded(span)
            finally:
                PASSED_ON.reset(before)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(name):
            yield

    def close(self) -> None:
        self._provider.shutdown()


def tracing_of(endpoint: str | None) -> Tracing:
    return Exported(endpoint) if endpoint else Tracing()
