"""The shape of NVIDIA's NIM: `passages` in, `rankings` with logits out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from firstrank.server.shapes.asked import Answer, Asked, texts
from firstrank.server.shapes.fields import Query, Sent, Strategy


class NimQuery(Sent):
    text: Query


class NimPassage(Sent):
    text: str


class NimRequest(Sent):
    """What NIM's clients send."""

    query: NimQuery
    passages: Annotated[list[NimPassage], Field(min_length=1)]
    model: str | None = None
    truncate: Literal["NONE", "END", "START"] | None = Field(None, description="NONE refuses a request of which a passage would be cut.")
    strategy: Strategy = None

    def asked(self, path: str) -> Asked:
        return Asked(
            query=self.query.text,
            documents=texts([passage.text for passage in self.passages]),
            model=self.model,
            strategy=self.strategy,
            raw=True,
            whole=self.truncate == "NONE",
            warnings=("truncate: START has no effect here",) if self.truncate == "START" else (),
        )


class NimRanking(BaseModel):
    index: int = Field(ge=0)
    logit: float


class NimUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class NimResponse(BaseModel):
    """What NIM answers, best first."""

    rankings: list[NimRanking]
    usage: NimUsage
    warnings: list[str] | None = None


def write(answer: Answer) -> bytes:
    rankings = [NimRanking(index=one.index, logit=one.raw_score) for one in answer.results]
    response = NimResponse(rankings=rankings, usage=NimUsage(**answer.usage), warnings=list(answer.warnings) or None)
    return response.model_dump_json(exclude_none=True).encode()
