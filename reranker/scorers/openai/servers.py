"""Several servers that serve one model: each window goes to the one that is least busy, and one that fails rests for a while.

The backoff belongs to the server, not to the window: while it rests, windows go to the others. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import httpx

from firstrank.reranker.errors import EngineLost, ScorerError, TransientError

_FIRST_REST = 0.5  # seconds; doubles with each failure in a row
_LONGEST_REST = 30.0
_LOST = 6  # refused connections in a row, about 15 s of them, on every server
_CLOSING = 5.0
"""seconds that open connections have to end"""
PASSED_ON: ContextVar[Mapping[str, str]] = ContextVar("passed_on", default=MappingProxyType({}))
"""headers that go along with a window: the `traceparent` of the request that it belongs to"""
_BUSY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(eq=False, slots=True)
class Server:
    """One base URL, and how it fares."""

    url: str
    in_flight: int = 0
    """windows sent, or waiting for a connection to it"""
    failures: int = 0
    """in a row"""
    refused: int = 0
    """of them, those where nobody answered at all"""
    rests_until: float = 0.0
    said: str = ""
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    def rest(self, sent: float, reason: str, asked: float | None, *, refused: bool) -> None:
        """Rests for as long as it asked, or twice as long as the last time. Failures of one rest's time count once."""
        self.said = reason
        if sent < self.rests_until:
            return
        pause = min(_FIRST_REST * 2**self.failures, _LONGEST_REST) if asked is None else min(asked, _LONGEST_REST)
        self.failures += 1
        self.refused = self.refused + 1 if refused else 0
        self.rests_until = time.monotonic() + pause

    def recover(self) -> None:
        self.failures = self.refused = 0
        self.rests_until = 0.0


class Servers:
    """Posts JSON to the least busy of `urls`, over at most `connections` connections to each.

    `transport` is httpx's, for tests. Raises TransientError where trying again may help, EngineLost where no server has
    answered for a good while, ScorerError for what the servers refuse.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connections: int,
        timeout: float,
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.all = [Server(url, gate=asyncio.Semaphore(connections)) for url in urls]
        self._loop: asyncio.AbstractEventLoop | None = None
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections * len(urls))
        self._client = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(timeout, connect=5.0), limits=limits, transport=transport, trust_env=False
        )

    @property
    def alive(self) -> bool:
        """Whether any server's last answer was no failure."""
        return any(server.failures == 0 for server in self.all)

    def close(self) -> None:
        """Ends the connections, in the loop that they belong to; where that is gone, they went with it."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._client.aclose(), loop).result(_CLOSING)

    async def post(self, path: str, body: Callable[[str], Mapping[str, Any]]) -> Any:
        """The JSON that a server answers with to `body` of its URL."""
        self._loop = asyncio.get_running_loop()
        server = await self._least_busy()
        server.in_flight += 1
        try:
            async with server.gate:
                return await self._post_to(server, path, body(server.url))
        finally:
            server.in_flight -= 1

    async def _least_busy(self) -> Server:
        while True:
            now = time.monotonic()
            if awake := [server for server in self.all if server.rests_until <= now]:
                return min(awake, key=lambda server: server.in_flight)
            await asyncio.sleep(min(server.rests_until for server in self.all) - now)

    async def _post_to(self, server: Server, path: str, body: Mapping[str, Any]) -> Any:
        sent = time.monotonic()
        try:
            response = await self._client.post(f"{server.url}{path}", json=body, headers=dict(PASSED_ON.get()))
        except httpx.TransportError as error:
            refused = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            server.rest(sent, f"{type(error).__name__}: {error}".rstrip(": "), None, refused=refused)
            if all(one.refused >= _LOST for one in self.all):
                raise EngineLost(f"no server answers: {self._complaints()}; start one, and try again") from error
            raise TransientError(f"{server.url}: {server.said}") from error
        if response.status_code in _BUSY:
            server.rest(sent, f"{response.status_code} {reason_of(response)}", _retry_after(response), refused=False)
            raise TransientError(f"{server.url}: {server.said}")
        server.recover()
        if response.is_error:
            raise ScorerError(f"{server.url} refuses: {response.status_code} {reason_of(response)}")
        return json_of(response)

    def _complaints(self) -> str:
        return ", ".join(f"{server.url} ({server.said})" for server in self.all)


def json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise ScorerError(f"{response.request.url}: the answer is not JSON: {response.text[:80]!r}") from error


def reason_of(response: httpx.Response) -> str:
    """What a server says is wrong, in one line."""
    try:
        said = response.json()
        found = said.get("error", said)
        text = found.get("message", found) if isinstance(found, dict) else found
    except (ValueError, AttributeError):
        text = response.text or response.reason_phrase
    return " ".join(str(text).split())[:300]


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; a date in its place is ignored."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
