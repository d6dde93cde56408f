"""A rerank request and its answer, whatever shape they have on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from firstrank.reranker.types import Passage, Ranking, Request, Result
from firstrank.server.errors import Refused

TEXT_FIELDS = ("text", "content", "page_content", "passage")
"""of a document that is an object: the first that it has is read"""


@dataclass(frozen=True, slots=True)
class Given:
    """A document: what is read of it, and what comes back where documents are wanted."""

    text: str
    whole: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be ranked, and how."""

    query: str
    documents: tuple[Given, ...]
    model: str | None = None
    top_n: int | None = None
    strategy: str | None = None
    raw: bool = False
    return_documents: bool = False
    passage_tokens: int | None = None
    instruction: str | None = None
    trace: bool = False
    whole: bool = False
    """a document that would be cut is refused"""
    partial: bool = False
    """the best order so far will do, where the time runs out"""
    threshold: float | None = None
    """documents of a lower probability are left out"""
    warnings: tuple[str, ...] = ()

    def request(self, characters: int, owner: str) -> Request:
        """Documents as passages, read up to so many characters."""
        passages = tuple(Passage(str(index), document.text[:characters]) for index, document in enumerate(self.documents))
        return Request(self.query, passages, passage_tokens=self.passage_tokens, instruction=self.instruction, owner=owner)


@dataclass(frozen=True, slots=True)
class Answer:
    """A ranking, with what an answer says beside it."""

    ranking: Ranking
    asked: Asked
    request_id: str
    model: str
    created: int
    cut: int
    """documents of which only the beginning, or an excerpt, is read"""
    warnings: tuple[str, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        kept = self.ranking if self.asked.threshold is None else self.ranking.at_least(self.asked.threshold)
        return kept.top_k(self.asked.top_n or len(kept))

    @property
    def usage(self) -> dict[str, int]:
        trace = self.ranking.trace
        return {"prompt_tokens": trace.prompt_tokens, "total_tokens": trace.prompt_tokens + trace.generated_tokens}

    def score(self, result: Result) -> float:
        """The probability, where the model is calibrated; what was asked for as raw is the score before any."""
        if self.asked.raw:
            return result.raw_score
        return result.score if result.probability is None else result.probability

    def text(self, result: Result) -> str | None:
        return self.asked.documents[result.index].text if self.asked.return_documents else None

    def document(self, result: Result) -> Mapping[str, Any] | None:
        return self.asked.documents[result.index].whole if self.asked.return_documents else None


def given(documents: list[Any], rank_fields: list[str] | None, where: str = "documents") -> tuple[Given, ...]:
    """Strings and objects as documents. Raises Refused 422 for an object of which nothing can be read.

    `rank_fields` names what is read of an object: one field's text, or several as lines of YAML, as Cohere joined them.
    """
    return tuple(_given(document, rank_fields, f"{where}.{place}") for place, document in enumerate(documents))


def texts(documents: list[str]) -> tuple[Given, ...]:
    return tuple(Given(text, {"text": text}) for text in documents)


def _given(document: Any, rank_fields: list[str] | None, where: str) -> Given:
    if isinstance(document, str):
        return Given(document, {"text": document})
    if rank_fields:
        text = _joined({name: document[name] for name in rank_fields if document.get(name) is not None})
        if not text:
            raise _unreadable(where, f"has none of the rank_fields {', '.join(rank_fields)}")
    else:
        readable = [document[name] for name in TEXT_FIELDS if isinstance(document.get(name), str)]
        if not readable:
            raise _unreadable(where, f"has none of {', '.join(TEXT_FIELDS)} as a string; name what is to be read in rank_fields")
        text = readable[0]
    return Given(text, document if isinstance(document.get("text"), str) else {**document, "text": text})


def _joined(fields: Mapping[str, Any]) -> str:
    if len(fields) == 1 and isinstance(text := next(iter(fields.values())), str):
        return text
    return yaml.safe_dump(dict(fields), allow_unicode=True, sort_keys=False, width=float("inf")).rstrip("\n") if fields else ""


def _unreadable(where: str, why: str) -> Refused:
    message = f"{where}: {why}"
    return Refused(422, message, detail=[{"loc": ["body", *where.split(".")], "msg": why, "type": "document"}])
