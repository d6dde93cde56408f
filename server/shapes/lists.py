"""The shapes of Voyage and of Mixedbread: `top_k` in, the ranked documents under `data`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, JsonValue

from firstrank.server.shapes.asked import Answer, Asked, given, texts
from firstrank.server.shapes.fields import Count, Flag, Query, Sent, Strategy, Threshold


class VoyageRequest(Sent):
    """What Voyage's client sends: `top_k` and `truncation`."""

    query: Query
    documents: Annotated[list[str], Field(min_length=1)]
    model: str | None = None
    top_k: Count = None
    return_documents: Flag = None
    truncation: Flag = Field(None, description="False refuses a request of which a document would be cut.")
    score_threshold: Threshold = None
    strategy: Strategy = None

    def asked(self, path: str) -> Asked:
        return Asked(
            query=self.query,
            documents=texts(self.documents),
            model=self.model,
            top_n=self.top_k,
            strategy=self.strategy,
            return_documents=bool(self.return_documents),
            whole=self.truncation is False,
            threshold=self.score_threshold,
        )


class VoyageResult(BaseModel):
    index: int = Field(ge=0)
    relevance_score: float
    document: str | None = None


class VoyageUsage(BaseModel):
    total_tokens: int


class VoyageResponse(BaseModel):
    """What Voyage answers."""

    object: str = "list"
    data: list[VoyageResult]
    model: str
    usage: VoyageUsage
    warnings: list[str] | None = None


def write_voyage(answer: Answer) -> bytes:
    data = [VoyageResult(index=one.index, relevance_score=answer.score(one), document=answer.text(one)) for one in answer.results]
    usage = VoyageUsage(total_tokens=answer.usage["total_tokens"])
    response = VoyageResponse(data=data, model=answer.model, usage=usage, warnings=list(answer.warnings) or None)
    return response.model_dump_json(exclude_none=True).encode()


class MixedbreadRequest(Sent):
    """What Mixedbread's client sends: `input` in place of `documents`."""

    query: Query
    input: Annotated[list[str | dict[str, JsonValue]], Field(min_length=1)]
    model: str | None = None
    rank_fields: list[str] | None = None
    top_k: Count = None
    return_input: Flag = None
    score_threshold: Threshold = None
    strategy: Strategy = None

    def asked(self, path: str) -> Asked:
        return Asked(
            query=self.query,
            documents=given(self.input, self.rank_fields, "input"),
            model=self.model,
            top_n=self.top_k,
            strategy=self.strategy,
            return_documents=bool(self.return_input),
            threshold=self.score_threshold,
        )


class MixedbreadResult(BaseModel):
    index: int = Field(ge=0)
    score: float
    input: JsonValue = None
    object: str = "rank_result"


class MixedbreadUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int


class MixedbreadResponse(BaseModel):
    """What Mixedbread answers."""

    usage: MixedbreadUsage
    model: str
    data: list[MixedbreadResult]
    object: str = "list"
    top_k: int
    return_input: bool
    warnings: list[str] | None = None


def write_mixedbread(answer: Answer) -> bytes:
    data = []
    for one in answer.results:
        document = answer.document(one)
        shown: Any = None if document is None else document["text"] if len(document) == 1 else dict(document)
        data.append(MixedbreadResult(index=one.index, score=answer.score(one), input=shown))
    response = MixedbreadResponse(
        usage=MixedbreadUsage(**answer.usage, completion_tokens=answer.ranking.trace.generated_tokens),
        model=answer.model,
        data=data,
        top_k=len(data),
        return_input=answer.asked.return_documents,
        warnings=list(answer.warnings) or None,
    )
    return response.model_dump_json(exclude_none=True).encode()
