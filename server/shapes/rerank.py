"""The shape that Cohere, Jina, vLLM, llama.cpp and Infinity share: `documents` in, `results` out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from firstrank.reranker.types import Ranking
from firstrank.server.shapes.asked import Answer, Asked, given
from firstrank.server.shapes.fields import PASSAGES, QUERY, Count, Flag, Instruction, Query, Sent, Strategy, Threshold, Tokens


class RerankRequest(Sent):
    """A query and its documents, in first-stage order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "default", "query": QUERY, "documents": PASSAGES, "top_n": 2}]})

    query: Query
    documents: Annotated[
        list[str | dict[str, JsonValue]],
        Field(min_length=1, description="Strings, or objects with `text` (or `content`, `page_content`, `passage`)."),
    ]
    model: str | None = Field(None, description="One of /v1/models or an alias; by default the service's first.", examples=["default"])
    top_n: Count = Field(None, description="How many of the best to return; null or 0, or more than there are: all.")
    rank_fields: list[str] | None = Field(None, description="What is read of documents that are objects; several are joined as YAML.")
    return_documents: Flag = Field(
        None, description="Whether results hold the documents; by default true on /rerank and /v1/rerank, false elsewhere."
    )
    max_tokens_per_doc: Tokens = Field(None, description="Cuts each document after so many tokens, if the model's own cut is not earlier.")
    instruction: Instruction = None
    truncate: Flag = Field(None, description="False refuses a request of which a document would be cut.")
    strategy: Strategy = None
    raw_scores: Flag = Field(None, description="Scores before the sigmoid.")
    partial: Flag = Field(None, description="Where the time runs out, the best order so far, and not an error.")
    score_threshold: Threshold = None
    trace: Flag = Field(None, description="Whether the answer tells which windows were ranked, and what they cost.")

    def asked(self, path: str) -> Asked:
        default = path in ("/rerank", "/v1/rerank")
        return Asked(
            query=self.query,
            documents=given(self.documents, self.rank_fields),
            model=self.model,
            top_n=self.top_n,
            strategy=self.strategy,
            raw=bool(self.raw_scores),
            return_documents=default if self.return_documents is None else self.return_documents,
            passage_tokens=self.max_tokens_per_doc,
            instruction=self.instruction,
            trace=bool(self.trace),
            whole=self.truncate is False,
            partial=bool(self.partial),
            threshold=self.score_threshold,
        )


class Document(BaseModel):
    """A document as it was sent; `text` is what was read of it."""

    model_config = ConfigDict(extra="allow")

    text: str


class Result(BaseModel):
    """One document in its new place."""

    index: int = Field(ge=0, description="Its place in the request, from 0.")
    relevance_score: float = Field(
        description="In (0, 1), strictly decreasing. Of a calibrated model the probability that the document is relevant, comparable "
        "between requests; of others 0.5 for an average document of its list, and comparable within the answer only."
    )
    document: Document | None = None


class Usage(BaseModel):
    """Tokens, as OpenAI, Jina and vLLM count them."""

    prompt_tokens: int
    total_tokens: int


class ApiVersion(BaseModel):
    version: str = "2"


class BilledUnits(BaseModel):
    search_units: int = Field(description="One for each 100 documents or part of them.")


class TokenCounts(BaseModel):
    input_tokens: int
    output_tokens: int


class Cut(BaseModel):
    """What was not read."""

    documents: int = Field(description="Documents of which only a part is read.")
    tokens: int = Field(description="At so many tokens a document is cut; 0 where no model reads.")


class Meta(BaseModel):
    """The same costs, as Cohere puts them, and what the reader should know."""

    api_version: ApiVersion = ApiVersion()
    billed_units: BilledUnits
    tokens: TokenCounts
    cut: Cut
    warnings: list[str] | None = None


class WindowTrace(BaseModel):
    """One window as the model saw it."""

    round: int
    indices: list[int] = Field(description="Documents, in the order in which the model saw them.")
    prompt_tokens: int
    seconds: float


class Trace(BaseModel):
    """What the ranking took."""

    strategy: str
    rounds: int
    windows: list[WindowTrace]
    seconds: float = Field(description="From the first window to the last, waiting for other requests' windows included.")
    certified: int = Field(description="Leading places that the strategy guarantees, if the model is consistent.")
    notes: list[str]
    moved: int = Field(0, description="Documents whose probability was changed to fall with rank.")


class RerankResponse(BaseModel):
    """The documents, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "7f2c8a3e5d914b0c8f6e1a2b3c4d5e6f",
                    "model": "default",
                    "results": [{"index": 1, "relevance_score": 0.93, "document": {"text": PASSAGES[1]}}],
                    "usage": {"prompt_tokens": 93, "total_tokens": 93},
                    "meta": {
                        "api_version": {"version": "2"},
                        "billed_units": {"search_units": 1},
                        "tokens": {"input_tokens": 93, "output_tokens": 0},
                        "cut": {"documents": 0, "tokens": 48},
                    },
                }
            ]
        }
    )

    id: str = Field(description="The request's id, as in the header X-Request-ID.")
    model: str
    results: list[Result]
    usage: Usage
    meta: Meta
    warnings: list[str] | None = Field(None, description="Fields that were ignored, and what else a caller should know.")
    calibrated: bool = Field(False, description="Whether scores are probabilities.")
    nothing_relevant: float | None = Field(None, description="The probability that no document is relevant, of calibrated models.")
    partial: bool | None = Field(None, description="True where the time ran out and this is the best order so far.")
    trace: Trace | None = None


def write(answer: Answer) -> bytes:
    trace, asked = answer.ranking.trace, answer.asked
    warnings = list(answer.warnings) or None
    response = RerankResponse(
        id=answer.request_id,
        model=answer.model,
        results=[
            Result(
                index=one.index,
                relevance_score=answer.score(one),
                document=None if (document := answer.document(one)) is None else Document.model_validate(document),
            )
            for one in answer.results
        ],
        usage=Usage(**answer.usage),
        meta=Meta(
            billed_units=BilledUnits(search_units=-(-len(answer.ranking) // 100)),
            tokens=TokenCounts(input_tokens=trace.prompt_tokens, output_tokens=trace.generated_tokens),
            cut=Cut(documents=answer.cut, tokens=trace.cut_tokens or 0),
            warnings=warnings,
        ),
        warnings=warnings,
        calibrated=trace.calibrated,
        nothing_relevant=trace.nothing_relevant,
        partial=trace.partial or None,
        trace=_trace(answer.ranking) if asked.trace else None,
    )
    return response.model_dump_json(exclude_none=True).encode()


class InfinityResult(BaseModel):
    """One document in its new place; it comes back as a string."""

    index: int = Field(ge=0)
    relevance_score: float
    document: str | None = None


class InfinityResponse(BaseModel):
    """What Infinity answers."""

    object: str = "rerank"
    results: list[InfinityResult]
    model: str
    usage: Usage
    id: str
    created: int
    warnings: list[str] | None = None


def write_infinity(answer: Answer) -> bytes:
    results = [InfinityResult(index=one.index, relevance_score=answer.score(one), document=answer.text(one)) for one in answer.results]
    response = InfinityResponse(
        results=results,
        model=answer.model,
        usage=Usage(**answer.usage),
        id=answer.request_id,
        created=answer.created,
        warnings=list(answer.warnings) or None,
    )
    return response.model_dump_json(exclude_none=True).encode()


def _trace(ranking: Ranking) -> Trace:
    trace = ranking.trace
    windows: list[Any] = [
        WindowTrace(round=one.round, indices=[int(docid) for docid in one.docids], prompt_tokens=one.prompt_tokens, seconds=one.seconds)
        for one in trace.windows
    ]
    return Trace(
        strategy=trace.strategy,
        rounds=trace.rounds,
        windows=windows,
        seconds=trace.seconds,
        certified=trace.certified,
        notes=list(trace.notes),
        moved=trace.moved,
    )
