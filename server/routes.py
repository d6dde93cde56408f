"""The routes that programs call."""

from __future__ import annotations

import asyncio
import math
import time
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from firstrank.reranker.errors import DeadlineExceeded, Overloaded
from firstrank.server import metrics, schemas, wire
from firstrank.server.errors import Refused
from firstrank.server.paths import RERANK
from firstrank.server.service import Service, strategy_of, unless_gone

router = APIRouter()
_STARTED = int(time.time())

_PROBLEMS = {
    400: "The body is not JSON.",
    401: "The service has keys, and none of them was sent.",
    404: "No such model.",
    408: "The body came too slowly.",
    413: "Too many bytes, documents or characters.",
    415: "The body is compressed.",
    422: "A field is missing or invalid.",
    429: "Overloaded; Retry-After says when to come again.",
    500: "The ranking failed.",
    503: "The model is loading or lost, or the service is being stopped.",
    504: "The request's time ran out.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Error | schemas.TextsError, "description": text} for status, text in _PROBLEMS.items()
}
_HEADERS = [
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds that the request may take; the service's own timeout is the most.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    {
        "name": "X-Request-ID",
        "in": "header",
        "description": "The request's id, in its answer and in the log; one that is odd or long is replaced.",
        "schema": {"type": "string"},
    },
]
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [{"$ref": "#/components/schemas/RerankRequest"}, {"$ref": "#/components/schemas/TextsRequest"}]}
        }
    },
}


_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": schemas.RerankResponse | list[schemas.TextsResult]}, **PROBLEMS}


async def rerank(request: Request) -> Response:
    """Ranks documents for a query, best first.

    A body with `texts` in place of `documents` gets the answer of text-embeddings-inference: a bare array.
    """
    service: Service = request.app.state.service
    deadline = _deadline(request, service.settings.timeout)
    if service.stopping:
        raise service.closed()
    try:
        with service.admission.enter():
            return await _rerank(service, request, deadline)
    except Overloaded as error:
        raise service.full(error) from error


for _path in RERANK:
    router.add_api_route(
        _path,
        rerank,
        methods=["POST"],
        operation_id=f"rerank{_path.replace('/', '_')}",
        responses=_ANSWERS,
        openapi_extra={"requestBody": _BODY, "parameters": _HEADERS},
        response_model=None,
        tags=["rerank"],
    )


async def _rerank(service: Service, request: Request, deadline: float) -> Response:
    found = wire.parse_json(await _body(request, service.settings.read_timeout, deadline))
    request.state.texts = wire.is_texts(found)
    asked = wire.asked_of(found, service.settings, return_documents=request.url.path != "/v2/rerank")
    model = service.registry.find(asked.model)
    assert model.schedule is not None
    strategy = strategy_of(model.schedule, asked.strategy, asked.top_n, len(asked.texts))
    ranked = await unless_gone(request.receive, service.rank(model, asked.request(service.settings), strategy, deadline))
    service.metrics.documents.labels(model.name).inc(len(ranked))
    request.state.logged |= {
        "model": model.name,
        "documents": len(ranked),
        "windows": len(ranked.trace.windows),
        "prompt_tokens": ranked.trace.prompt_tokens,
    }
    if request.state.texts:
        body = wire.texts_answer(ranked, asked)
    else:
        body = wire.answer(ranked, asked, request.state.request_id, asked.model or model.name)
    if asyncio.get_running_loop().time() > deadline:
        raise DeadlineExceeded("ranked too late; X-Request-Timeout and the service's timeout say how long a request may take")
    return Response(body, media_type="application/json")


def _deadline(request: Request, most: float) -> float:
    """A time of the loop's clock. Raises Refused 422 for a header that is no positive number."""
    given = request.headers.get("x-request-timeout")
    seconds = most
    if given is not None:
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not seconds > 0:
            raise Refused(422, f"X-Request-Timeout: {given[:40]!r} is not a number of seconds above 0")
    return asyncio.get_running_loop().time() + min(seconds, most)


async def _body(request: Request, read_timeout: float, deadline: float) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() not in ("identity", ""):
        raise Refused(415, f"Content-Encoding {encoding[:40]!r}: send the body uncompressed")
    try:
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + read_timeout, deadline)):
            return await request.body()
    except TimeoutError as error:
        raise Refused(408, "the body did not come in time (read_timeout)", headers={"connection": "close"}) from error
    except ClientDisconnect as error:
        raise Refused(499, "the client has gone") from error


@router.get("/health", tags=["state"])
async def health() -> dict[str, str]:
    """Whether the service is alive; it is while its models load."""
    return {"status": "ok"}


@router.get("/ready", tags=["state"], responses={503: {"description": "Not yet, not now, or not any more."}})
async def ready(request: Request) -> JSONResponse:
    """Whether all models can rank."""
    service: Service = request.app.state.service
    models = {name: model.state for name, model in service.registry.models.items()}
    if service.stopping:
        return JSONResponse({"status": "stopping", "models": models}, 503)
    if not service.registry.ready:
        return JSONResponse({"status": "loading", "models": models}, 503, {"retry-after": "5"})
    return JSONResponse({"status": "ready", "models": models})


@router.get("/metrics", tags=["state"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def read_metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.service.metrics.text(), headers={"content-type": metrics.CONTENT_TYPE})


@router.get("/v1/models", tags=["models"])
async def models(request: Request) -> dict[str, Any]:
    """The models that are served, in OpenAI's form; `aliases` are other names that requests may use."""
    registry = request.app.state.service.registry
    data = [{"id": name, "object": "model", "created": _STARTED, "owned_by": "firstrank"} for name in registry.models]
    return {"object": "list", "data": data, "aliases": registry.aliases}


@router.get("/info", tags=["models"])
async def info(request: Request) -> dict[str, Any]:
    """Version, models and limits."""
    service: Service = request.app.state.service
    settings = service.settings
    limits = ("max_body_bytes", "max_documents", "max_document_chars", "max_query_chars", "max_queue", "timeout", "rate_limit")
    shown = {}
    for name, model in service.registry.models.items():
        own = settings.model_settings(name) if name in settings.model else settings
        strategy = model.schedule.strategy if model.schedule else own.strategy
        shown[name] = {"state": model.state, "backend": own.backend, "strategy": strategy, "slots": model.turns.slots}
    return {
        "version": version("firstrank"),
        "model_id": next(iter(service.registry.models)),
        "models": shown,
        "limits": {name: getattr(settings, name) for name in limits},
    }
