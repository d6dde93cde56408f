"""The application: settings in, an ASGI app out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from firstrank.reranker.errors import FirstrankError
from firstrank.server import routes, schemas
from firstrank.server.auth import Guard, Keys
from firstrank.server.errors import Refused, plain, refusal
from firstrank.server.metrics import Metrics
from firstrank.server.middleware import Answering, BodyLimit, Observed
from firstrank.server.page import routes as page
from firstrank.server.paths import OPEN
from firstrank.server.registry import Opener, Registry, ServedModel
from firstrank.server.service import Service
from firstrank.server.settings import Settings

_log = logging.getLogger("firstrank.service")

Openers = Mapping[str, Opener]


def create_app(settings: Settings, openers: Openers | None = None, *, failed: Callable[[Exception], None] = lambda error: None) -> FastAPI:
    """The service as an ASGI application. Its models load in the background when it starts.

    `openers` load the models, in place of what `settings.model` says; `failed` is told when a model cannot be loaded.
    """
    metrics, keys = Metrics(), Keys(settings.keys(), settings.rate_limit)
    asked = openers is None  # what a caller brings needs no check of ours
    openers = openers or {name: settings.setup(name).open_scorer for name in settings.model}
    models = [_served(name, opener, settings, metrics, check=asked) for name, opener in openers.items()]
    registry = Registry(models, settings.alias)
    service = Service(settings, registry, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        registry.start(failed)
        yield
        await registry.close()

    app = FastAPI(
        title="Firstrank",
        version=version("firstrank"),
        summary="Listwise LLM reranking from the first token's logits.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=_middleware(settings, metrics, keys),
        exception_handlers={Refused: _answer, FirstrankError: _answer, HTTPException: _answer_http},
    )
    app.state.service = service
    app.include_router(routes.router)
    app.router.routes.extend(page.routes())
    app.openapi = lambda: _openapi(app, guarded=bool(keys))  # type: ignore[method-assign]  # as FastAPI says to extend it
    return app


def _served(name: str, opener: Opener, settings: Settings, metrics: Metrics, *, check: bool) -> ServedModel:
    own = settings.model_settings(name) if name in settings.model else settings
    return ServedModel(name, opener, metrics, slots=own.slots, check=own.check if check else "off")


def _middleware(settings: Settings, metrics: Metrics, keys: Keys) -> list[Middleware]:
    """From the outside in."""
    layers = [Middleware(Observed, metrics=metrics)]
    if settings.cors_origins:
        exposed = ["X-Request-ID", "Retry-After"]
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID", "X-Request-Timeout"],
                expose_headers=exposed,
            )
        )
    return [
        *layers,
        Middleware(Answering),
        Middleware(Guard, keys=keys),
        Middleware(BodyLimit, most=settings.max_body_bytes),
    ]


async def _answer(request: Request, error: Exception) -> Response:
    refused = refusal(error)
    request.state.logged["reason"] = refused.kind
    if refused.status == 500:
        _log.error("a request failed", exc_info=error, extra={"request_id": request.state.request_id})
    return refused.response(texts=getattr(request.state, "texts", False))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = plain(error.status_code)
    refused.headers |= error.headers or {}
    return refused.response()


def _openapi(app: FastAPI, *, guarded: bool) -> dict[str, Any]:
    """FastAPI's document, with the request's shapes (which the handler reads itself) and the key."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        shapes = [(schemas.RerankRequest, "validation"), (schemas.TextsRequest, "validation")]
        _, asked = models_json_schema(shapes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # a list is invariant
        found["components"]["schemas"] |= asked["$defs"]
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        if guarded:
            for path in found["paths"].keys() - OPEN:
                for operation in found["paths"][path].values():
                    operation["security"] = [{"key": []}]
        app.openapi_schema = found
    return app.openapi_schema
