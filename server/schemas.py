"""What goes over the wire on the rerank routes: the shape that Cohere, Jina and vLLM share. Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, JsonValue

QUERY = "who wrote Emma?"
PASSAGES: list[JsonValue] = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a given name."]


class _Asked(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Document(_Asked):
    """A document as an object; only its text is read."""

    text: str


def _asking(query: str) -> str:
    if query and not query.strip():
        raise ValueError("holds white space only")
    return query


Query = Annotated[str, Field(min_length=1, description="What the documents are ranked for.", examples=[QUERY]), AfterValidator(_asking)]
Strategy = Annotated[
    str | None,
    Field(
        max_length=200,
        description="NAME[:key=value,…]: sliding, full, topdown, tournament, blitz, consistent, pointwise.",
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


class RerankRequest(_Asked):
    """A query and its documents, in first-stage order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "default", "query": QUERY, "documents": PASSAGES, "top_n": 2}]})

    query: Query
    documents: Annotated[list[str | Document], Field(min_length=1, description="Strings, or objects with `text`.")]
    model: str | None = Field(None, description="One of /v1/models or an alias; by default the service's first.", examples=["default"])
    top_n: int | None = Field(None, ge=0, description="How many of the best to return; null or 0, or more than there are: all.")
    return_documents: bool | None = Field(
        None, description="Whether results hold the documents; by default true, but false on /v2/rerank, as Cohere has it."
    )
    max_tokens_per_doc: int | None = Field(None, ge=1, description="Cuts each document after so many tokens.")
    instruction: Instruction = None
    strategy: Strategy = None
    raw_scores: bool | None = Field(None, description="Scores before the sigmoid.")
    trace: bool | None = Field(None, description="Whether the answer tells which windows were ranked, and what they cost.")


class Result(BaseModel):
    """One document in its new place."""

    index: int = Field(ge=0, description="Its place in the request, from 0.")
    relevance_score: float = Field(description="In (0, 1), 0.5 for an average document of its list; strictly decreasing.")
    document: Document | None = None


class Usage(BaseModel):
    """Tokens, as OpenAI, Jina and vLLM count them."""

    prompt_tokens: int
    total_tokens: int


class ApiVersion(BaseModel):
    version: str = "2"


class BilledUnits(BaseModel):
    search_units: int = Field(description="One for each 100 documents or part of them.")


class Tokens(BaseModel):
    input_tokens: int
    output_tokens: int


class Meta(BaseModel):
    """The same costs, as Cohere puts them."""

    api_version: ApiVersion = ApiVersion()
    billed_units: BilledUnits
    tokens: Tokens


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
    trace: Trace | None = None


class TextsRequest(_Asked):
    """The shape of text-embeddings-inference: `texts` in place of `documents`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": QUERY, "texts": PASSAGES}]})

    query: Query
    texts: Annotated[list[str], Field(min_length=1)]
    model: str | None = None
    return_text: bool | None = Field(None, description="Whether results hold the texts; by default false.")
    raw_scores: bool | None = Field(None, description="Scores before the sigmoid.")
    truncate: bool | None = Field(None, description="False refuses a text that has more characters than the service reads (see /info).")
    instruction: Instruction = None
    strategy: Strategy = None


class TextsResult(BaseModel):
    """One text in its new place."""

    index: int = Field(ge=0)
    score: float
    text: str | None = None


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
