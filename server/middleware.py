"""What surrounds every request, as plain ASGI: ids, log, traces and metrics; errors turned into answers; bodies that may not grow."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstrank.server.errors import Refused, refusal
from firstrank.server.metrics import Metrics
from firstrank.server.paths import route_of, shown
from firstrank.server.tracing import Tracing

_log = logging.getLogger("firstrank.requests")
_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class Observed:
    """The outermost layer: gives a request its id (the client's own where it is sane), counts it, traces it and logs one line."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app, self._metrics, self._tracing = app, metrics, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id, "logged": {}, "timing": {}}
        status, started = 499, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                answered["x-request-id"] = request_id
                answered["server-timing"] = _timing({**state["timing"], "total": time.perf_counter() - started})
            await send(message)

        with self._tracing.request(scope["method"], route_of(scope["path"]), headers.get("traceparent", "")) as span:
            state["logged"]["trace_id"] = span.trace_id
            try:
                await self._app(scope, receive, sending)
            finally:
                span.end(status, state["logged"], request_id)
                self._report(scope, status, time.perf_counter() - started, state["logged"])

    def _report(self, scope: Scope, status: int, seconds: float, more: dict[str, object]) -> None:
        path = scope["path"]
        self._metrics.request_seconds.labels(route_of(path), status, more.get("model", "")).observe(seconds)
        if status >= 400 and "reason" in more:
            self._metrics.rejections.labels(more["reason"]).inc()
        level = logging.DEBUG if path in ("/health", "/ready", "/metrics") and status < 400 else logging.INFO
        if _log.isEnabledFor(level):
            state, client = scope["state"], scope.get("client")
            told = {"request_id": state["request_id"], "method": scope["method"], "path": shown(path), "client": client and client[0]}
            key = {"key": state["key"].name} if "key" in state else {}
            _log.log(level, "request", extra=told | key | {"status": status, "seconds": round(seconds, 4)} | more)


class Answering:
    """Turns what was raised into an answer, and never lets an error out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            refused = refusal(error)
            scope["state"]["logged"] |= {"reason": refused.kind, **refused.logged}
            if refused.status == 500:
                _log.error("a request failed", exc_info=error, extra={"request_id": scope["state"]["request_id"]})
            if not started:
                await refused.response(texts=scope["state"].get("texts", False))(scope, receive, send)


class Reading:
    """How many bytes of bodies the service holds that are not whole yet."""

    def __init__(self, most: int) -> None:
        self.held, self._most = 0, most

    def add(self, count: int) -> None:
        """Raises Refused 503 where there is no room for more."""
        if self.held + count > self._most:
            message = "too many bodies are being sent at this moment (max_reading_bytes)"
            raise Refused(503, message, kind="overloaded", retry_after=2, headers={"connection": "close"})
        self.held += count


class BodyLimit:
    """Raises Refused 413 for a body that says it is too large, or turns out to be; 503 where too much is being sent at once."""

    def __init__(self, app: ASGIApp, most: int, reading: Reading) -> None:
        self._app, self._most, self._reading = app, most, reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > self._most:
            raise self._refused()
        received = held = 0

        async def receiving() -> Message:
            nonlocal received, held
            message = await receive()
            count = len(message.get("body", b""))
            received += count
            if received > self._most:
                raise self._refused()
            self._reading.add(count)
            held += count
            if not message.get("more_body", False):
                self._reading.held, held = self._reading.held - held, 0
            return message

        try:
            await self._app(scope, receiving, send)
        finally:
            self._reading.held -= held

    def _refused(self) -> Refused:
        return Refused(413, f"the body has more than {self._most} bytes, the most that this service takes (max_body_bytes)")


def _timing(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name};dur={1000 * took:.1f}" for name, took in seconds.items())
