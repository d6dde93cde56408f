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
from firstrank.server import routes
from firstrank.server.auth import Guard
from firstrank.server.errors import Refused, plain, refusal
from firstrank.server.fronts import Addressed
from firstrank.server.keys import Keys
from firstrank.server.metrics import Metrics
from firstrank.server.middleware import Answering, BodyLimit, Observed, Reading
from firstrank.server.page import routes as page
from firstrank.server.paths import OPEN
from firstrank.server.registry import Opener, Registry, ServedModel
from firstrank.server.service import Service
from firstrank.server.settings import Settings
from firstrank.server.shapes.register import SHAPES
from firstrank.server.tracing import Tracing, tracing_of

_log = logging.getLogger("firstrank.service")

Openers = Mapping[str, Opener]
_EXPOSED = ["X-Request-ID", "Retry-After", "Server-Timing", "X-Documents-Cut", "X-Document-Tokens", "X-Estimated-Seconds"]


def create_app(
    settings: Settings,
    openers: Openers | None = None,
    *,
    failed: Callable[[Exception], None] = lambda error: None,
    again: Callable[[], Settings] | None = None,
) -> FastAPI:
    """The service as an ASGI application. Its models load in the background when it starts.

    `openers` load the models, in place of what `settings.model` says; `failed` is told when a model cannot be loaded; `again` reads the
    settings anew for a reload.
    """
    metrics, tracing = Metrics(), tracing_of(settings.otlp_endpoint)
    keys = Keys(settings.keys(), settings.limits())
    models = _served(settings, metrics) if openers is None else [_opened(name, one, settings, metrics) for name, one in openers.items()]
    registry = Registry(models, settings.alias)

    def reload() -> None:
        """Keys and models as the settings say them now. Raises InputError for settings that cannot be read; the old ones stay then."""
        if again is None:
            return
        found = again()
        keys.replace(found.keys(), found.limits())
        registry.replace(_served(found, metrics), found.alias)
        _log.info("reloaded", extra={"models": list(found.model), "access": access(found)})

    service = Service(settings, registry, metrics, tracing, reload)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        registry.start(failed)
        yield
        await registry.close()
        tracing.close()

    app = FastAPI(
        title="Firstrank",
        version=version("firstrank"),
        summary="Listwise LLM reranking from the first token's logits.",
        description=routes.COMPARED,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=_middleware(settings, metrics, keys, tracing),
        exception_handlers={Refused: _answer, FirstrankError: _answer, HTTPException: _answer_http},
        redirect_slashes=False,
    )
    app.state.service, app.state.metrics = service, metrics
    app.include_router(routes.router)
    app.router.routes.extend(page.routes())
    app.openapi = lambda: _openapi(app, guarded=bool(keys))  # type: ignore[method-assign]  # as FastAPI says to extend it
    return app


def access(settings: Settings) -> str:
    """Who may use the service, in words."""
    keys = len(settings.keys())
    return f"keyed: {keys} {'key' if keys == 1 else 'keys'}" if keys else "open: no key is asked for"


def _served(settings: Settings, metrics: Metrics) -> list[ServedModel]:
    """The models that the settings name."""
    return [
        ServedModel(
            name,
            settings.setup(name).open_scorer,
            metrics,
            slots=settings.model_settings(name).slots,
            check=settings.model_settings(name).check,
            source=settings.model[name].source or name,
            revision=settings.model_settings(name).revision,
        )
        for name in settings.model
    ]


def _opened(name: str, opener: Opener, settings: Settings, metrics: Metrics) -> ServedModel:
    slots = settings.model_settings(name).slots if name in settings.model else settings.slots
    return ServedModel(name, opener, metrics, slots=slots)


def _middleware(settings: Settings, metrics: Metrics, keys: Keys, tracing: Tracing) -> list[Middleware]:
    """From the outside in."""
    layers = [Middleware(Observed, metrics=metrics, tracing=tracing)]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=_EXPOSED,
            )
        )
    return [
        *layers,
        Middleware(Answering),
        Middleware(Addressed, root_path=settings.root_path, hosts=settings.allowed_hosts),
        Middleware(Guard, keys=keys),
        Middleware(BodyLimit, most=settings.max_body_bytes, reading=Reading(settings.max_reading_bytes)),
    ]


async def _answer(request: Request, error: Exception) -> Response:
    refused = refusal(error)
    request.state.logged |= {"reason": refused.kind, **refused.logged}
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
        found = get_openapi(title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes)
        requests = dict.fromkeys(shape.request for shapes in SHAPES.values() for shape in shapes)
        _, asked = models_json_schema([(one, "validation") for one in requests], ref_template="#/components/schemas/{model}")
        found["components"]["schemas"] |= asked["$defs"]
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        if guarded:
            for path in found["paths"].keys() - OPEN:
                for operation in found["paths"][path].values():
                    operation["security"] = [{"key": []}]
        app.openapi_schema = found
    return app.openapi_schema
