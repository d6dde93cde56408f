"""The shape of text-embeddings-inference: `texts` in, a bare array out."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from firstrank.server.shapes.asked import Answer, Asked, texts
from firstrank.server.shapes.fields import PASSAGES, QUERY, Flag, Instruction, Query, Sent, Strategy, Threshold


class TextsRequest(Sent):
    """`texts` in place of `documents`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": QUERY, "texts": PASSAGES}]})

    query: Query
    texts: Annotated[list[str], Field(min_length=1)]
    model: str | None = None
    return_text: Flag = Field(None, description="Whether results hold the texts; by default false.")
    raw_scores: Flag = Field(None, description="Scores before the sigmoid.")
    truncate: Flag = Field(None, description="False refuses a request of which a text would be cut; by default it is cut.")
    truncation_direction: str | None = Field(None, description="Read, and without effect: the model's own rule says which part is read.")
    instruction: Instruction = None
    score_threshold: Threshold = None
    strategy: Strategy = None

    def asked(self, path: str) -> Asked:
        return Asked(
            query=self.query,
            documents=texts(self.texts),
            model=self.model,
            strategy=self.strategy,
            raw=bool(self.raw_scores),
            return_documents=bool(self.return_text),
            instruction=self.instruction,
            whole=self.truncate is False,
            threshold=self.score_threshold,
            warnings=("truncation_direction has no effect here",) if self.truncation_direction == "Left" else (),
        )


class TextsResult(BaseModel):
    """One text in its new place."""

    index: int = Field(ge=0)
    score: float
    text: str | None = None


_RESULTS = TypeAdapter(list[TextsResult])


def write(answer: Answer) -> bytes:
    found = [TextsResult(index=one.index, score=answer.score(one), text=answer.text(one)) for one in answer.results]
    return _RESULTS.dump_json(found, exclude_none=True)
