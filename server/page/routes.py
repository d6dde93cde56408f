"""What a person sees: the playground at `/` and the reference at `/docs`. Everything is served from here; nothing from another host."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from firstrank.server.paths import DOCS, PAGE

STATIC = Path(__file__).parent / "static"
_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_INLINE = "; style-src 'self' 'unsafe-inline'"
"""Swagger UI, which shows no document, writes styles into its elements"""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> list[Route]:
    """One route a file: there is no folder to walk out of."""
    return [_route(path, file) for path, file in _files()]


def _files() -> Iterator[tuple[str, Path]]:
    swagger = _swagger()
    for path in (*PAGE, *DOCS):
        name = {"/": "index.html", "/docs": "docs.html"}.get(path, path.rpartition("/")[2])
        yield path, (swagger if name.startswith("swagger-ui") else STATIC) / name


def _swagger() -> Path:
    """Swagger UI's files, from the package `fastapi-offline` (its code is not used, so it is not imported)."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def _route(path: str, file: Path) -> Route:
    policy = _POLICY + (_INLINE if path in DOCS else "")

    async def serve(_: Request) -> Response:
        return FileResponse(file, headers=_HEADERS | {"content-security-policy": policy})

    return Route(path, serve, methods=["GET"], include_in_schema=False)
