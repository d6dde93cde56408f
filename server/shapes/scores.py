"""The shape of vLLM's score routes: a text against many, a score of each in the order in which they came."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AliasChoices, BaseModel, Field, model_validator

from firstrank.server.shapes.asked import Answer, Asked, texts
from firstrank.server.shapes.fields import Flag, Sent, Strategy, Tokens

_FIRST, _SECOND = ("text_1", "queries", "data_1"), ("text_2", "documents", "items", "data_2")
Asking = Annotated[str | list[str], Field(validation_alias=AliasChoices(*_FIRST), description="One text: what the others are ranked for.")]
Scored = Annotated[str | list[str], Field(validation_alias=AliasChoices(*_SECOND), description="One text, or several.")]


class ScoreRequest(Sent):
    """`text_1` against `text_2`; vLLM's later names (`queries` and `documents` or `items`, `data_1` and `data_2`) do as well."""

    text_1: Asking
    text_2: Scored
    model: str | None = None
    max_tokens_per_doc: Tokens = None
    raw_scores: Flag = None
    strategy: Strategy = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        if isinstance(self.text_1, list) and len(self.text_1) != 1:
            raise ValueError(
                f"text_1: holds {len(self.text_1)} texts. A listwise model compares documents of one query: send one request for each"
            )
        if not self.text_2:
            raise ValueError("text_2: holds no text")
        return self

    def asked(self, path: str) -> Asked:
        query = self.text_1 if isinstance(self.text_1, str) else self.text_1[0]
        return Asked(
            query=query,
            documents=texts([self.text_2] if isinstance(self.text_2, str) else self.text_2),
            model=self.model,
            strategy=self.strategy,
            raw=bool(self.raw_scores),
            passage_tokens=self.max_tokens_per_doc,
        )


class Score(BaseModel):
    index: int = Field(ge=0)
    object: str = "score"
    score: float


class ScoreUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class ScoreResponse(BaseModel):
    """What vLLM answers."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[Score]
    usage: ScoreUsage
    warnings: list[str] | None = None


def write(answer: Answer) -> bytes:
    data = [Score(index=one.index, score=answer.score(one)) for one in sorted(answer.results, key=lambda one: one.index)]
    response = ScoreResponse(
        id=answer.request_id,
        created=answer.created,
        model=answer.model,
        data=data,
        usage=ScoreUsage(**answer.usage),
        warnings=list(answer.warnings) or None,
    )
    return response.model_dump_json(exclude_none=True).encode()
