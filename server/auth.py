"""Who may pass: the right key for the route, where the service has keys; and whom a request belongs to."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from firstrank.server.errors import Refused
from firstrank.server.keys import Keys
from firstrank.server.keys import Scope as KeyScope
from firstrank.server.paths import METRICS, OPEN, RELOAD


class Guard:
    """ASGI middleware: nothing passes without a key but the exact paths that are open. With no keys set, all but administration does."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, state = scope["path"], scope["state"]
            state["owner"] = f"address {client[0]}" if (client := scope.get("client")) else "address"
            if not self._keys:
                if path == RELOAD:
                    raise Refused(403, f"{RELOAD} needs a key with the scope 'admin', and this service has no keys")
            elif not (path in OPEN and scope["method"] in ("GET", "HEAD")):
                key = self._keys.check(Headers(scope=scope).get("authorization"), _needed(path))
                state["key"], state["owner"] = key, f"key {key.name}"
        await self._app(scope, receive, send)


def _needed(path: str) -> KeyScope:
    return "metrics" if path == METRICS else "admin" if path == RELOAD else "rank"
