"""Bearer keys: which open the service, and how often each may ask."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from firstrank.server.errors import Refused
from firstrank.server.paths import OPEN

_HINT = "send the header 'Authorization: Bearer KEY'"


class Keys:
    """A set of keys. They are kept and compared as digests, all of them for each request, so that timing tells nothing."""

    def __init__(self, keys: Sequence[str], rate_limit: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._buckets = [_Bucket(rate_limit, clock) for _ in keys] if rate_limit else []

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, authorization: str | None) -> int:
        """The number of the key that a header names. Raises Refused: 401 without a right one, 429 where it asked too often."""
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(401, f"this service needs a key: {_HINT}", headers={"www-authenticate": "Bearer"})
        digest = _digest(key.strip().encode("latin-1", "replace"))  # headers are latin-1: these are the bytes that were sent
        found = [number for number, known in enumerate(self._digests) if hmac.compare_digest(known, digest)]
        if not found:
            raise Refused(401, f"the key is not one of this service's: {_HINT}", headers={"www-authenticate": "Bearer"})
        if self._buckets and (wait := self._buckets[found[0]].take()) > 0:
            raise Refused(
                429, f"this key has used up its requests; the next is free in {wait:.0f} s", kind="rate_limited", retry_after=int(wait) + 1
            )
        return found[0]


class _Bucket:
    """So many tokens a minute; a minute's worth may be spent at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity = self._left = float(per_minute)
        self._clock, self._at = clock, clock()

    def take(self) -> float:
        """0 where a token was there, else the seconds until one will be."""
        now = self._clock()
        per_second = self._capacity / 60
        self._left = min(self._capacity, self._left + (now - self._at) * per_second)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / per_second
        self._left -= 1
        return 0.0


class Guard:
    """ASGI middleware: nothing passes without a key but the exact paths that are open. With no keys set, everything does."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and not (scope["path"] in OPEN and scope["method"] in ("GET", "HEAD")):
            scope["state"]["key"] = self._keys.check(Headers(scope=scope).get("authorization"))
        await self._app(scope, receive, send)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
