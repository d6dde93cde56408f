"""Refusals and failures as HTTP: a status, a type that programs can read, a sentence that people can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from firstrank.reranker.errors import (
    DeadlineExceeded,
    EngineLost,
    FirstrankError,
    InputError,
    Overloaded,
    PassageCut,
    TransientError,
)

TYPES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "too_large",
    415: "unsupported_encoding",
    422: "invalid",
    429: "overloaded",
    499: "client_gone",
    500: "internal",
    503: "not_ready",
    504: "deadline",
}
_TEXTS_TYPES = {413: "Validation", 422: "Validation", 429: "Overloaded", 503: "Unhealthy"}
"""what text-embeddings-inference calls them; "Backend" otherwise"""


class Refused(Exception):
    """An answer that is not a ranking. `detail` is the message unless given; `retry_after` in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        detail: Any = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.detail = status, message, detail or message
        self.kind = kind or TYPES.get(status, "invalid")
        self.logged: dict[str, Any] = {}
        """what the log is told beside the reason"""
        self.headers = dict(headers) | ({"retry-after": str(retry_after)} if retry_after is not None else {})

    def response(self, *, texts: bool = False) -> Response:
        """The answer; `texts` in the shape of text-embeddings-inference."""
        if texts:
            self.status = 413 if self.kind == "cut" else self.status
            error: Any = {"error": self.message, "error_type": _TEXTS_TYPES.get(self.status, "Backend")}
        else:
            error = {"error": {"message": self.message, "type": self.kind, "code": self.status}}
        body = json.dumps({"message": self.message, "detail": self.detail} | error).encode()
        return Response(body, self.status, self.headers, "application/json")


def refusal(error: Exception) -> Refused:
    """What an exception means to the client. An error that nobody foresaw says nothing of itself: the log has it."""
    match error:
        case Refused():
            return error
        case PassageCut():
            return Refused(422, str(error), kind="cut")
        case InputError():
            return Refused(422, str(error))
        case Overloaded():
            return Refused(429, str(error), retry_after=1)
        case DeadlineExceeded():
            return Refused(504, str(error))
        case EngineLost():
            return Refused(503, "the model's engine was lost and is being started again", kind="engine_lost", retry_after=10)
        case TransientError():
            return Refused(503, "the model could not score a window, tried several times; try again", kind="engine_busy", retry_after=2)
        case FirstrankError():
            return Refused(500, str(error), kind="ranking_failed")
        case _:
            return Refused(500, "an internal error; the log has more under this request's id")


def plain(status: int) -> Refused:
    """The refusal of a bare status, as routers raise it."""
    return Refused(status, HTTPStatus(status).phrase.lower())
