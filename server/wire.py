"""Bytes of a request -> what is asked, checked; a ranking -> bytes of an answer, in the shape that was asked in."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from firstrank.reranker.types import Passage, Ranking, Request
from firstrank.server import schemas
from firstrank.server.errors import Refused
from firstrank.server.settings import Settings

M = TypeVar("M", bound=BaseModel)
_SHOWN = 10
"""problems of an invalid request that its answer lists"""
_TEXTS = TypeAdapter(list[schemas.TextsResult])


@dataclass(frozen=True, slots=True)
class Asked:
    """A rerank request, whatever shape it came in."""

    query: str
    texts: tuple[str, ...]
    model: str | None
    top_n: int | None
    strategy: str | None
    raw: bool
    return_texts: bool
    passage_tokens: int | None = None
    trace: bool = False
    instruction: str | None = None

    def request(self, settings: Settings) -> Request:
        """Documents as passages, read up to the characters that the service reads."""
        most = settings.max_document_chars
        passages = tuple(Passage(str(index), text[:most]) for index, text in enumerate(self.texts))
        return Request(self.query, passages, passage_tokens=self.passage_tokens, instruction=self.instruction)


def parse_json(body: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises Refused: 400 for what is not JSON, 422 for half a surrogate pair or another JSON value."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if _has_half_a_pair(body, str(error)):
            where = "the body"
            with suppress(RecursionError):
                where = _half_a_pair(json.loads(body))
            raise Refused(422, f"{where}: holds half a surrogate pair (\\ud800 … \\udfff alone), which is not a character") from error
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(422, "the body must be a JSON object with `query` and `documents`")
    return found


def asked_of(found: dict[str, Any], settings: Settings, *, return_documents: bool) -> Asked:
    """What a JSON object asks for. Raises Refused: 413 for too much of something, 422 for what is invalid."""
    key = "texts" if is_texts(found) else "documents"
    if isinstance(items := found.get(key), list) and len(items) > settings.max_documents:
        raise Refused(
            413, f"{key}: {len(items)} are given, and {settings.max_documents} is the most that this service takes (max_documents)"
        )
    asked = _from_texts(found, settings) if key == "texts" else _from_documents(found, return_documents)
    if len(asked.query) > settings.max_query_chars:
        raise Refused(413, f"query: has {len(asked.query)} characters, and {settings.max_query_chars} is the most (max_query_chars)")
    return asked


def is_texts(found: dict[str, Any]) -> bool:
    """Whether a request is in the shape of text-embeddings-inference."""
    return "texts" in found and "documents" not in found


def answer(ranking: Ranking, asked: Asked, request_id: str, model: str) -> bytes:
    """The shape that Cohere, Jina and vLLM share."""
    trace = ranking.trace
    results = [
        schemas.Result(
            index=one.index,
            relevance_score=one.raw_score if asked.raw else one.score,
            document=schemas.Document(text=asked.texts[one.index]) if asked.return_texts else None,
        )
        for one in ranking.top_k(asked.top_n or len(ranking))
    ]
    response = schemas.RerankResponse(
        id=request_id,
        model=model,
        results=results,
        usage=schemas.Usage(prompt_tokens=trace.prompt_tokens, total_tokens=trace.prompt_tokens + trace.generated_tokens),
        meta=schemas.Meta(
            billed_units=schemas.BilledUnits(search_units=-(-len(ranking) // 100)),
            tokens=schemas.Tokens(input_tokens=trace.prompt_tokens, output_tokens=trace.generated_tokens),
        ),
        trace=_trace(ranking) if asked.trace else None,
    )
    return response.model_dump_json(exclude_none=True).encode()


def texts_answer(ranking: Ranking, asked: Asked) -> bytes:
    """The shape of text-embeddings-inference: a bare array."""
    results = [
        schemas.TextsResult(
            index=one.index,
            score=one.raw_score if asked.raw else one.score,
            text=asked.texts[one.index] if asked.return_texts else None,
        )
        for one in ranking
    ]
    return _TEXTS.dump_json(results, exclude_none=True)


def _from_documents(found: dict[str, Any], return_documents: bool) -> Asked:
    given = _checked(schemas.RerankRequest, found)
    return Asked(
        query=given.query,
        texts=tuple(document if isinstance(document, str) else document.text for document in given.documents),
        model=given.model,
        top_n=given.top_n,
        strategy=given.strategy,
        raw=bool(given.raw_scores),
        return_texts=return_documents if given.return_documents is None else given.return_documents,
        passage_tokens=given.max_tokens_per_doc,
        trace=bool(given.trace),
        instruction=given.instruction,
    )


def _from_texts(found: dict[str, Any], settings: Settings) -> Asked:
    given = _checked(schemas.TextsRequest, found)
    if given.truncate is False and (longest := max(map(len, given.texts))) > settings.max_document_chars:
        raise Refused(413, f"texts: one has {longest} characters, {settings.max_document_chars} are read, and truncate is false")
    return Asked(
        query=given.query,
        texts=tuple(given.texts),
        model=given.model,
        top_n=None,
        strategy=given.strategy,
        raw=bool(given.raw_scores),
        return_texts=bool(given.return_text),
        instruction=given.instruction,
    )


def _checked(shape: type[M], found: dict[str, Any]) -> M:
    try:
        return shape.model_validate(found)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
        detail = [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in problems]
        message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)
        raise Refused(422, message, detail=detail) from error


def _has_half_a_pair(body: bytes, problem: str) -> bool:
    """Whether the parser stopped at an escape that another parser lets through."""
    if "surrogate" not in problem and "hex escape" not in problem:
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _half_a_pair(found: Any, where: str = "the body") -> str:
    """Where the first text is that no UTF-8 can hold: `documents.3`, say, or `documents.3.text`."""
    if isinstance(found, str):
        return where if any("\ud800" <= character <= "\udfff" for character in found) else ""
    if isinstance(found, list):
        parts: list[tuple[Any, Any]] = list(enumerate(found))
    else:
        parts = list(found.items()) if isinstance(found, dict) else []
    named = (_half_a_pair(part, str(key) if where == "the body" else f"{where}.{key}") for key, part in parts)
    return next(filter(None, named), "" if where != "the body" else where)


def _trace(ranking: Ranking) -> schemas.Trace:
    trace = ranking.trace
    windows = [
        schemas.WindowTrace(
            round=one.round, indices=[int(docid) for docid in one.docids], prompt_tokens=one.prompt_tokens, seconds=one.seconds
        )
        for one in trace.windows
    ]
    return schemas.Trace(
        strategy=trace.strategy,
        rounds=trace.rounds,
        windows=windows,
        seconds=trace.seconds,
        certified=trace.certified,
        notes=list(trace.notes),
    )
