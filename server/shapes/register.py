"""Which shape a request is in: from its path, and where several share a path, from a field that only one has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from firstrank.server.errors import Refused
from firstrank.server.paths import INFINITY, RANKING, RERANK, RERANKING, SCORE
from firstrank.server.shapes import lists, nim, rerank, scores, texts
from firstrank.server.shapes.asked import Answer, Asked

_SHOWN = 10
"""problems of an invalid request that its answer lists"""
_MEANING = {
    "instruction", "instruct", "min_score", "score_threshold", "min_probability", "threshold", "activation", "use_activation", "softmax",
    "overlap_tokens", "images",
}  # fmt: skip
"""fields of other services that would change the ranking or its scores: to ignore them would be to answer another question"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to ask and to be answered."""

    name: str
    request: Any
    """a model of pydantic's, with `asked`"""
    response: Any
    items: str
    """the field that holds the documents"""
    write: Callable[[Answer], bytes]


RERANK_SHAPE = Shape("rerank", rerank.RerankRequest, rerank.RerankResponse, "documents", rerank.write)
INFINITY_SHAPE = Shape("infinity", rerank.RerankRequest, rerank.InfinityResponse, "documents", rerank.write_infinity)
TEXTS = Shape("texts", texts.TextsRequest, list[texts.TextsResult], "texts", texts.write)
VOYAGE = Shape("voyage", lists.VoyageRequest, lists.VoyageResponse, "documents", lists.write_voyage)
MIXEDBREAD = Shape("mixedbread", lists.MixedbreadRequest, lists.MixedbreadResponse, "input", lists.write_mixedbread)
NIM = Shape("nim", nim.NimRequest, nim.NimResponse, "passages", nim.write)
SCORES = Shape("scores", scores.ScoreRequest, scores.ScoreResponse, "text_2", scores.write)

SHAPES: dict[str, tuple[Shape, ...]] = {
    **dict.fromkeys(RERANK, (RERANK_SHAPE, TEXTS, VOYAGE, MIXEDBREAD)),
    **dict.fromkeys(RERANKING, (RERANK_SHAPE, TEXTS, MIXEDBREAD)),
    **dict.fromkeys(INFINITY, (INFINITY_SHAPE,)),
    **dict.fromkeys(RANKING, (NIM,)),
    **dict.fromkeys(SCORE, (SCORES,)),
}
"""path -> its shapes; the first is meant where nothing tells"""


def shape_of(path: str, found: Mapping[str, Any]) -> Shape:
    """The shape of a JSON object that was sent to a path."""
    first, *others = SHAPES[path]
    if "documents" in found:
        return VOYAGE if VOYAGE in others and found.keys() & {"top_k", "truncation"} and "top_n" not in found else first
    return next((one for one in others if one.items in found and one.items != "documents"), first)


def read(shape: Shape, path: str, found: Mapping[str, Any], max_documents: int, max_query_chars: int) -> Asked:
    """What is asked. Raises Refused: 413 for too much of something, 422 for what is invalid or would have another meaning elsewhere."""
    if isinstance(items := found.get(shape.items), list) and len(items) > max_documents:
        message = f"{shape.items}: {len(items)} are given, and {max_documents} is the most that this service takes (max_documents)"
        raise Refused(413, message)
    warnings = _unknown_fields(shape, found)
    asked: Asked = _checked(shape, found).asked(path)
    if len(asked.documents) > max_documents:
        raise Refused(413, f"{len(asked.documents)} documents are given, and {max_documents} is the most (max_documents)")
    if len(asked.query) > max_query_chars:
        raise Refused(413, f"query: has {len(asked.query)} characters, and {max_query_chars} is the most (max_query_chars)")
    if not asked.query.strip():
        raise Refused(422, "the query is empty, or holds white space only")
    return replace(asked, warnings=(*asked.warnings, *warnings))


def _unknown_fields(shape: Shape, found: Mapping[str, Any]) -> tuple[str, ...]:
    """What is said of fields that the shape does not have. Raises Refused 422 for those that would change what is asked."""
    known: set[str] = set()
    for name, field in shape.request.model_fields.items():
        alias = field.validation_alias
        known |= {name} if alias is None else {str(choice) for choice in alias.choices}
    unknown = [name for name, value in found.items() if name not in known and value is not None]
    if refused := sorted(_MEANING.intersection(unknown)):
        message = f"{refused[0]}: this service does not have it, and without it the ranking would be another; leave it out"
        raise Refused(422, message, detail=[{"loc": ["body", refused[0]], "msg": message, "type": "unsupported"}])
    shown = [f"{name[:40]!r} was ignored: it is no field of this route" for name in unknown[:_SHOWN]]
    return tuple(shown)


def _checked(shape: Shape, found: Mapping[str, Any]) -> Any:
    try:
        return shape.request.model_validate(found)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
        detail = [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in problems]
        message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in problems)
        raise Refused(422, message.replace("Value error, ", ""), detail=detail) from error
