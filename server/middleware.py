"""What surrounds every request, as plain ASGI: ids, log and metrics; errors turned into answers; bodies that may not grow."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstrank.server.errors import Refused, refusal
from firstrank.server.metrics import Metrics
from firstrank.server.paths import KNOWN

_log = logging.getLogger("firstrank.requests")
_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class Observed:
    """The outermost layer: gives a request its id (the client's own where it is sane), counts it and logs one line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id, "logged": {}}
        status, started = 499, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self._report(scope, status, time.perf_counter() - started, state["logged"])

    def _report(self, scope: Scope, status: int, seconds: float, more: dict[str, object]) -> None:
        path = scope["path"]
        self._metrics.request_seconds.labels(path if path in KNOWN else "other", status).observe(seconds)
        if status >= 400 and "reason" in more:
            self._metrics.rejections.labels(more["reason"]).inc()
        level = logging.DEBUG if path in ("/health", "/ready", "/metrics") and status < 400 else logging.INFO
        if _log.isEnabledFor(level):
            shown = {"request_id": scope["state"]["request_id"], "method": scope["method"], "path": path if path in KNOWN else "other"}
            key = {"key": scope["state"]["key"]} if "key" in scope["state"] else {}
            _log.log(level, "request", extra=shown | key | {"status": status, "seconds": round(seconds, 4)} | more)


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
            scope["state"]["logged"].setdefault("reason", refused.kind)
            if refused.status == 500:
                _log.error("a request failed", exc_info=error, extra={"request_id": scope["state"]["request_id"]})
            if not started:
                await refused.response(texts=scope["state"].get("texts", False))(scope, receive, send)


class BodyLimit:
    """Raises Refused 413 for a body that says it is too large, or turns out to be."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > self._most:
            raise self._refused()
        received = 0

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise self._refused()
            return message

        await self._app(scope, receiving, send)

    def _refused(self) -> Refused:
        return Refused(413, f"the body has more than {self._most} bytes, the most that this service takes (max_body_bytes)")
