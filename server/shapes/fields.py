"""Fields that the shapes of a request share, as clients really send them: a number or a truth value may come as a text."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema

QUERY = "who wrote Emma?"
PASSAGES: list[JsonValue] = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a given name."]
_TRUTH = {"true": True, "True": True, "false": False, "False": False}


class Sent(BaseModel):
    """What a client sends. Fields that nobody knows are looked at by `unknown_fields`."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, populate_by_name=True)


def _number(given: Any) -> Any:
    if isinstance(given, str) and re.fullmatch(r"[0-9]{1,9}\n?", given):
        return int(given)
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given


def _truth(given: Any) -> Any:
    return _TRUTH.get(given, given) if isinstance(given, str) else given


def _asking(query: str) -> str:
    if query and not query.strip():
        raise ValueError("holds white space only")
    return query


def _schema(kind: dict[str, Any], *texts: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind, *texts, {"type": "null"}]})


_DIGITS = {"type": "string", "pattern": "^[0-9]{1,9}$"}
Count = Annotated[int | None, Field(ge=0), BeforeValidator(_number), _schema({"type": "integer", "minimum": 0}, _DIGITS)]
"""how many; null and 0 mean all"""
Tokens = Annotated[
    int | None,
    Field(ge=1),
    BeforeValidator(_number),
    _schema({"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"}),
]
Flag = Annotated[bool | None, BeforeValidator(_truth), _schema({"type": "boolean"}, {"type": "string", "enum": list(_TRUTH)})]
Threshold = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        validation_alias=AliasChoices("score_threshold", "min_score", "min_probability"),
        description="Leaves out documents of a lower probability, all of them perhaps; 422 where the model is not calibrated. "
        "Also as `min_score` and `min_probability`.",
    ),
]
Query = Annotated[str, Field(min_length=1, description="What the documents are ranked for.", examples=[QUERY]), AfterValidator(_asking)]
Strategy = Annotated[
    str | None,
    Field(
        max_length=200,
        description="NAME[:key=value,…]: sliding, full, topdown, tournament, blitz, pointwise.",
        examples=["topdown:k=10"],
    ),
]
Instruction = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=4000,
        validation_alias=AliasChoices("instruction", "instruct"),
        description="What is searched for, and how to judge it; 422 where the model's prompt has no place for it. Also as `instruct`.",
        examples=["Given a claim, find passages that refute it"],
    ),
]
