"""The bodies of errors, as OpenAPI shows them; those of requests and answers are in `shapes/`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ErrorObject(BaseModel):
    message: str
    type: str
    code: int


class Error(BaseModel):
    """Why a request was refused or failed."""

    message: str
    detail: Any = Field(description="The message, or for invalid fields a list of them.")
    error: ErrorObject


class TextsError(BaseModel):
    """The same, as clients of text-embeddings-inference read it."""

    message: str
    detail: Any
    error: str
    error_type: str
