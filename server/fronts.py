"""What a proxy before the service, or a careless client, does to an address: a prefix, a slash at the end, another host's name."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from firstrank.server.errors import Refused
from firstrank.server.paths import DOCS, KNOWN, PAGE

_SLASHED = frozenset(f"{path}/" for path in KNOWN - {*PAGE, *DOCS})


class Addressed:
    """ASGI middleware. `root_path` is taken off a path, whether or not the proxy has done so; `hosts` are names that may be asked for."""

    def __init__(self, app: ASGIApp, root_path: str = "", hosts: Sequence[str] = ()) -> None:
        self._app, self._root, self._hosts = app, root_path, tuple(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if self._root and (path == self._root or path.startswith(f"{self._root}/")):
                path = path.removeprefix(self._root) or "/"
            scope["path"] = path[:-1] if path in _SLASHED else path
            scope["root_path"] = self._root
            self._check_host(scope)
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope) -> None:
        host = Headers(scope=scope).get("host", "").rpartition("]")[-1].partition(":")[0].lower()
        if not self._hosts or scope["path"] in ("/health", "/ready") or any(_is(host, one) for one in self._hosts):
            return
        raise Refused(400, f"host {host[:80]!r} is not one of this service's (allowed_hosts)", kind="wrong_host")


def _is(host: str, pattern: str) -> bool:
    return pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))
