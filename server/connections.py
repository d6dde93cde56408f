"""Connections, within bounds: headers come in time, idle ones end, and one too many ends the one that has idled longest.

uvicorn's own protocol closes an idle connection after a request, but waits for ever for a first byte, or for the rest of a header.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from firstrank.server.metrics import Metrics

_log = logging.getLogger("firstrank.connections")
_SAID_EVERY = 10.0
"""seconds between two lines of the log about the same thing"""


class Connections:
    """All connections of a service: those that wait for a request, oldest first, and those that have one."""

    def __init__(self, most: int, header_timeout: float, metrics: Metrics) -> None:
        self.most, self.header_timeout, self._metrics = most, header_timeout, metrics
        self.open: set[Guarded] = set()
        self.idle: dict[Guarded, None] = {}
        self._said: dict[str, float] = {}
        metrics.watch_connections(lambda: len(self.open))

    def make(self, **arguments: Any) -> Guarded:
        """A protocol, as uvicorn asks for one."""
        return Guarded(self, **arguments)

    def added(self, one: Guarded) -> None:
        """Ends the one that has idled longest, or else the new one, where there are too many."""
        self.open.add(one)
        self.idle[one] = None
        if len(self.open) > self.most:
            oldest = next(iter(self.idle))
            oldest.end("too_many")

    def told(self, reason: str, one: Guarded) -> None:
        self._metrics.closed_connections.labels(reason).inc()
        now = one.loop.time()
        if now - self._said.get(reason, float("-inf")) >= _SAID_EVERY:
            self._said[reason] = now
            _log.warning(
                "connection closed", extra={"reason": reason, "client": one.client and one.client[0], "connections": len(self.open)}
            )


class Guarded(H11Protocol):
    """uvicorn's protocol over h11 with a clock for headers."""

    def __init__(self, all_of_them: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._all = all_of_them
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._all.added(self)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.open.discard(self)
        self._all.idle.pop(self, None)
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_request():
            self._stop_clock()
            self._all.idle.pop(self, None)
        elif self._header_timer is None:
            self._await_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._has_request():
            self._all.idle.pop(self, None)
            self._all.idle[self] = None

    def end(self, reason: str) -> None:
        """Closes the connection at once."""
        self._all.open.discard(self)
        self._all.idle.pop(self, None)
        self._all.told(reason, self)
        self.transport.abort()

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(self._all.header_timeout, self._headers_late)

    def _headers_late(self) -> None:
        self._header_timer = None
        if not self._has_request() and not self.transport.is_closing():
            self.end("headers_too_slow")

    def _stop_clock(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
