"""A request as text, for hosts that take text and have a tokenizer of their own: passages cut by their width, and a template filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firstrank.reranker.prompt.excerpt import excerpts
from firstrank.reranker.prompt.places import instruction_of
from firstrank.reranker.prompt.template import Template
from firstrank.reranker.types import Request

WIDTH = 4
"""characters that make about a token"""


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One request's texts, in first-stage order."""

    query: str
    instruction: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, request: Request, template: Template) -> TextRequest:
        """Raises InputError for an instruction that the template has no place for."""
        most = min(filter(None, (template.tokens, request.passage_tokens)), default=None)
        passages = request.passages
        if most is not None and template.excerpt == "query":
            passages = excerpts(request.query, passages, most)
        texts = (" ".join(template.text_of(passage.title, passage.text).split()) for passage in passages)
        cut = tuple(text if most is None else text[: WIDTH * most] for text in texts)
        return cls(" ".join(request.query.split()), instruction_of(template, request), cut)

    @property
    def lengths(self) -> tuple[int, ...]:
        """About so many tokens each."""
        return tuple(len(text) // WIDTH + 8 for text in self.texts)

    def filled(self, text: str, template: Template, n: int) -> str:
        """A part of the template with its places filled."""
        said = template.instructed.replace("{instruction}", self.instruction) if self.instruction else ""
        return text.replace("{n}", str(n)).replace("{instruction}", said).replace("{query}", self.query)

    def labelled(self, template: Template, indices: Sequence[int], labels: Sequence[str]) -> str:
        """The passages of a window, as the template shows them."""
        shown = zip(indices, labels, strict=False)
        return "".join(template.passage.replace("{label}", label).replace("{text}", self.texts[i]) for i, label in shown)
