"""The routes that programs call."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from firstrank.reranker.errors import DeadlineExceeded, Overloaded
from firstrank.reranker.types import Ranking
from firstrank.server import metrics, wire
from firstrank.server.errors import Refused
from firstrank.server.keys import Known
from firstrank.server.paths import RELOAD, WORK
from firstrank.server.registry import ServedModel
from firstrank.server.schemas import Error, TextsError
from firstrank.server.service import Call, Service, unless_gone
from firstrank.server.shapes.asked import Answer, Asked
from firstrank.server.shapes.register import SHAPES, TEXTS, read, shape_of

router = APIRouter()
_STARTED = int(time.time())

_PROBLEMS = {
    400: "The body is not JSON.",
    401: "The service has keys, and none of them was sent.",
    403: "The key may not do this.",
    404: "No such model.",
    408: "The body came too slowly.",
    413: "Too many bytes, documents or characters.",
    415: "The body has a Content-Encoding other than gzip and deflate.",
    422: "A field is missing or invalid.",
    429: "Overloaded; Retry-After says when to come again.",
    500: "The ranking failed.",
    503: "The model is loading or lost, or the service is being stopped.",
    504: "The request's time ran out.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error | TextsError, "description": text} for status, text in _PROBLEMS.items()
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
COMPARED = (
    "Scores are comparable within one answer only: nothing is compared between requests. Send all candidates of a query in one request. "
    "Those of a calibrated model (/v1/models says so) are probabilities, and may be compared between requests too."
)


async def rerank(request: Request) -> Response:
    """Ranks documents for a query, best first."""
    service: Service = request.app.state.service
    if service.stopping:
        raise service.closed()
    started = asyncio.get_running_loop().time()
    call = Call(request.state.owner, started, _deadline(request, started, service.settings.timeout), request.state.timing, _spend(request))
    body = await _body(request, service.settings.read_timeout, call.deadline)
    try:
        with service.admission.enter():
            return await _rerank(service, request, body, call)
    except Overloaded as error:
        raise service.full(error) from error


def _add(path: str) -> None:
    shapes = SHAPES[path]
    union: Any = shapes[0].response
    for shape in shapes[1:]:
        union = union | shape.response
    bodies = [{"$ref": f"#/components/schemas/{shape.request.__name__}"} for shape in shapes]
    router.add_api_route(
        path,
        rerank,
        methods=["POST"],
        operation_id=f"rerank{path.replace('/', '_')}",
        description=f"Ranks documents for a query, best first. {COMPARED}",
        responses={200: {"model": union}, **PROBLEMS},
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": bodies}}}},
            "parameters": _HEADERS,
        },
        response_model=None,
        tags=["rerank"],
    )


for _path in WORK:
    _add(_path)


async def _rerank(service: Service, request: Request, body: bytes, call: Call) -> Response:
    settings, path = service.settings, request.scope["path"]
    found = wire.parse_json(wire.unpacked(body, request.headers.get("content-encoding", ""), settings.max_body_bytes))
    shape = shape_of(path, found)
    request.state.texts = shape is TEXTS
    asked = read(shape, path, found, settings.max_documents, settings.max_query_chars)
    if asked.whole and any(len(document.text) > settings.max_document_chars for document in asked.documents):
        message = f"a document has more than {settings.max_document_chars} characters (max_document_chars), and all are wanted whole"
        raise Refused(422, message, kind="cut")
    model = service.registry.find(asked.model)
    if asked.threshold is not None and (asked.instruction is not None or not model.calibrated):
        why = "a request with an instruction has none" if model.calibrated else f"model {model.name!r} is not calibrated"
        raise Refused(422, f"score_threshold: is a probability, and {why}; leave it out, and take top_n", kind="uncalibrated")
    if (key := getattr(request.state, "key", None)) is not None:
        key.charge(requests=1, documents=len(asked.documents))
    ranked = await unless_gone(request.receive, service.rank(model, asked, call))
    answer = Answer(
        ranked,
        asked,
        request.state.request_id,
        asked.model or model.name,
        int(time.time()),
        _cut(ranked, asked, service),
        _warned(ranked, asked),
    )
    service.metrics.documents.labels(model.name).inc(len(ranked))
    service.metrics.cut.labels(model.name).inc(answer.cut)
    request.state.logged |= {
        "model": model.name,
        "documents": len(ranked),
        "windows": len(ranked.trace.windows),
        "prompt_tokens": ranked.trace.prompt_tokens,
        "cut": answer.cut or None,
        "partial": ranked.trace.partial or None,
    }
    content = shape.write(answer)
    if asyncio.get_running_loop().time() > call.deadline:
        raise DeadlineExceeded("ranked too late; X-Request-Timeout and the service's timeout say how long a request may take")
    told = {"x-documents-cut": str(answer.cut), "x-document-tokens": str(ranked.trace.cut_tokens or "")}
    if ranked.trace.nothing_relevant is not None:
        told["x-nothing-relevant"] = f"{ranked.trace.nothing_relevant:.4f}"
    return Response(content, media_type="application/json", headers=told)


def _spend(request: Request) -> Callable[[int], None]:
    """Who is told the request's tokens: its key, where it has one."""
    key: Known | None = getattr(request.state, "key", None)
    return key.spend if key is not None else lambda tokens: None


def _cut(ranked: Ranking, asked: Asked, service: Service) -> int:
    """Documents that are read in part: by the model's rule, or already by the service's own limit."""
    most = service.settings.max_document_chars
    return max(ranked.trace.cut, sum(len(document.text) > most for document in asked.documents))


def _warned(ranked: Ranking, asked: Asked) -> tuple[str, ...]:
    """What the answer tells beside the order."""
    told = list(asked.warnings)
    if not ranked.trace.windows and not ranked.trace.calibrated:
        told.append("no document was read by the model: there was nothing to compare it with, so a score says nothing")
    if ranked.trace.partial:
        told.append(f"partial: the time ran out after {len(ranked.trace.windows)} windows; this is the best order so far")
    return tuple(told)


def _deadline(request: Request, now: float, most: float) -> float:
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
    return now + min(seconds, most)


async def _body(request: Request, read_timeout: float, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + read_timeout, deadline)):
            return await request.body()
    except TimeoutError as error:
        raise Refused(408, "the body did not come in time (read_timeout)", headers={"connection": "close"}) from error
    except ClientDisconnect as error:
        raise Refused(499, "the client has gone") from error


@router.head("/health", include_in_schema=False)
@router.get("/health", tags=["state"])
async def health() -> dict[str, str]:
    """Whether the service is alive; it is while its models load."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready", tags=["state"], responses={503: {"description": "Not yet, not now, or not any more."}})
async def ready(request: Request) -> JSONResponse:
    """Whether requests are welcome: a model can rank. `lost` names those that cannot, where there are several."""
    service: Service = request.app.state.service
    models = {name: model.state for name, model in service.registry.models.items()}
    if service.stopping:
        return JSONResponse({"status": "stopping", "models": models}, 503)
    if not service.registry.ready:
        return JSONResponse({"status": "loading", "models": models}, 503, {"retry-after": "5"})
    lost = {"lost": list(service.registry.lost)} if service.registry.lost else {}
    return JSONResponse({"status": "ready", "models": models} | lost)


@router.get("/metrics", tags=["state"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def read_metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.service.metrics.text(), headers={"content-type": metrics.CONTENT_TYPE})


@router.get("/v1/models", tags=["models"])
async def models(request: Request) -> dict[str, Any]:
    """The models that are served, in OpenAI's form; `aliases` are other names that requests may use."""
    registry = request.app.state.service.registry
    return {"object": "list", "data": [_model(served) for served in registry.models.values()], "aliases": registry.aliases}


@router.get("/v1/models/{name:path}", tags=["models"], responses={404: PROBLEMS[404]})
async def model(request: Request, name: str) -> dict[str, Any]:
    """One of them, by its name or an alias."""
    return _model(request.app.state.service.registry.named(name))


def _model(served: ServedModel) -> dict[str, Any]:
    return {"id": served.name, "object": "model", "created": _STARTED, "owned_by": "firstrank", "calibrated": served.calibrated}


@router.get("/info", tags=["models"])
async def info(request: Request) -> dict[str, Any]:
    """Version, models and limits, and what clients of text-embeddings-inference ask for.

    `max_input_length` is the number of tokens at which a document is cut.
    """
    service: Service = request.app.state.service
    settings = service.settings
    limits = (
        "max_body_bytes", "max_documents", "max_document_chars", "max_query_chars", "max_queue", "max_windows", "timeout", "rate_limit",
        "document_rate_limit", "token_rate_limit",
    )  # fmt: skip
    shown = {}
    for name, served in service.registry.models.items():
        own = settings.model_settings(name) if name in settings.model else settings
        strategy = served.schedule.strategy if served.schedule else own.strategy
        shown[name] = {"state": served.state, "backend": own.backend, "strategy": strategy, "slots": served.turns.slots} | served.facts
        shown[name]["calibrated"] = served.calibrated
    first, *_ = service.registry.models.values()
    return {
        "version": version("firstrank"),
        "model_id": first.name,
        "model_sha": first.facts.get("revision") or first.facts.get("weights_sha256"),
        "model_dtype": first.facts.get("dtype"),
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_input_length": first.facts.get("max_input_length"),
        "max_client_batch_size": settings.max_documents,
        "max_concurrent_requests": settings.max_queue + service.registry.slots,
        "compared": COMPARED,
        "strategies": list(settings.strategies),
        "models": shown,
        "limits": {name: getattr(settings, name) for name in limits},
    }


@router.post(RELOAD, tags=["state"], responses={status: PROBLEMS[status] for status in (401, 403, 422)})
async def reload(request: Request) -> dict[str, str]:
    """Reads keys and the list of models again, as SIGHUP does. Needs a key with the scope `admin`."""
    service: Service = request.app.state.service
    service.reload()
    return {"status": "reloaded"}
