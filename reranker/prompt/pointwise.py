"""A template that shows one passage, and a request -> the token ids that its prompts share, and those of each passage.

A prompt is `header + suffix`: the header holds instruction and query and is the same for all passages of a request, so a scorer reads
it once. Both together are what the tokenizer gives for the whole string. The score is read at the prompt's last position.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.encoder import CONTROL, Data, Encoder, Ids, Piece, Text, Trusted
from firstrank.reranker.prompt.excerpt import excerpts
from firstrank.reranker.prompt.places import filled, instruction_of
from firstrank.reranker.prompt.template import PointTemplate
from firstrank.reranker.types import UNBOUNDED, Passage, Reading, Request

_LEAST = 16
"""tokens of a passage below which a prompt is too full to judge it"""
_LETTER = "a"
"""stands for a text where only its neighbour is encoded"""
_APART = "{|}"
"""in a template: what stands left and right of it is tokenized by itself"""
_CONTROL = re.compile(r"<\|\w+\|>")


class Pointwise(BaseModel):
    """Where a passage's score is read: the logit of the token `yes`, less that of `no` if there is one, at the prompt's end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    yes: str | int = Field(description="a token as the vocabulary spells it (▁Yes, Ġyes), or its id")
    no: str | int | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, fields: Any) -> Any:
        """YAML takes a bare yes or no for a truth value: as a field's name that is no harm, as a token it is."""
        if not isinstance(fields, dict):
            return fields
        named = {{True: "yes", False: "no"}.get(name, name): value for name, value in fields.items()}
        if bare := [name for name, value in named.items() if isinstance(value, bool)]:
            raise ValueError(f"{bare[0]}: YAML reads a bare yes or no as a truth value: quote the token")
        return named


class PointPrompter:
    """Encodes requests for one model that reads a passage at a time. Thread-safe. Raises ModelError where the tokenizer cannot serve."""

    def __init__(self, tokenizer: Any, template: PointTemplate, tokens: Pointwise, *, context: int) -> None:
        self.template, self.context = template, context
        self.ids = tuple(_token_id(tokenizer, name, token) for name, token in tokens if token is not None)
        """yes, and no where there is one"""
        _check_control_tokens(tokenizer, template.prompt)
        self.encoder = Encoder(tokenizer)
        before, after = template.prompt.split("{text}")
        self._before = before.rstrip(" ")
        self._space = before[len(self._before) :]
        """goes with the passage: a tokenizer makes one token of it and the first word"""
        self._after, *rest = after.split(_APART)
        self._rest = [index for piece in rest for index in self.encoder.encode(Piece((Trusted(piece),)))]
        self.tail = self.encoder.encode(Piece((Trusted(self._after),), _LETTER)) + self._rest
        """the ids after a passage that was cut"""

    def value(self, logits: Sequence[float]) -> float:
        """A passage's score, of the logits of `ids`."""
        return logits[0] - logits[1] if len(logits) > 1 else logits[0]

    def encode(self, request: Request) -> PointRequest:
        """A request's prompts. Raises InputError for a query that leaves no room for a passage, and for an instruction without a place."""
        instruction = instruction_of(self.template, request)
        *earlier, parts = [filled(piece, self.template, instruction, request.query) for piece in self._before.split(_APART)]
        pieces = [*(Piece(one) for one in earlier), Piece(parts, "", self._space + _LETTER)]
        header = [index for ids in self.encoder.batch(pieces) for index in ids]
        room = self.context - len(header) - len(self.tail) - 1
        if request.passages and room < _LEAST:
            raise InputError(
                f"query {request.qid!r}: with it the prompt has {len(header) + len(self.tail)} tokens without a passage, and the model's "
                f"context of {self.context} leaves no room for one; shorten the query {request.query[:40]!r}…"
            )
        most = min(filter(None, (self.template.tokens, request.passage_tokens, room)))
        suffixes, cut = self._suffixes(request, self._left_of(parts), most)
        return PointRequest(tuple(header), suffixes, Reading(most, cut))

    def _left_of(self, parts: Sequence[Text]) -> str:
        """The text that stands left of a passage."""
        if parts and isinstance(parts[-1], Trusted) and self.encoder.ends_in_control(parts[-1]):
            return CONTROL
        return "".join(parts)[-1:]

    def _suffixes(self, request: Request, left: str, most: int) -> tuple[tuple[tuple[int, ...], ...], int]:
        """Each passage's ids, and how many passages are shown in part."""
        suffixes = self._encoded(request.passages, left)
        long = [i for i, ids in enumerate(suffixes) if self._text_tokens(ids) > most]
        capped = {i for i, passage in enumerate(request.passages) if self.template.cuts(passage.title, passage.text)}
        if self.template.excerpt == "query" and long:
            parts = excerpts(request.query, request.passages, most)
            for i, ids in zip(long, self._encoded([parts[i] for i in long], left), strict=True):
                suffixes[i] = ids
        shown = tuple(tuple(ids if self._text_tokens(ids) <= most else ids[:most] + self.tail) for ids in suffixes)
        return shown, len(capped | set(long))

    def _encoded(self, passages: Sequence[Passage], left: str) -> list[Ids]:
        texts = [self.template.text_of(passage.title, passage.text) for passage in passages]
        pieces = [Piece((Trusted(self._space), Data(text), Trusted(self._after)), left) for text in texts]
        return [ids + self._rest for ids in self.encoder.batch(pieces)]

    def _text_tokens(self, suffix: Ids) -> int:
        return len(suffix) - len(self.tail)


class PointRequest:
    """One request's prompts: `header` and, for each candidate, its suffix."""

    def __init__(self, header: tuple[int, ...], suffixes: tuple[tuple[int, ...], ...], reading: Reading) -> None:
        self.header, self.suffixes, self.reading = header, suffixes, reading
        self.lengths = tuple(map(len, suffixes))
        self.max_window = len(suffixes)
        self.room = UNBOUNDED

    def prompt(self, index: int) -> Ids:
        """The whole prompt of one candidate."""
        return [*self.header, *self.suffixes[index]]


def _token_id(tokenizer: Any, name: str, token: str | int) -> int:
    if isinstance(token, int):
        if not 0 <= token < len(tokenizer):
            raise ModelError(f"pointwise.{name}: {token} is not a token's id; the tokenizer has {len(tokenizer)}")
        return token
    found = tokenizer.get_vocab().get(token)
    if found is None:
        spelled = tokenizer.convert_ids_to_tokens(tokenizer.encode(token, add_special_tokens=False))
        raise ModelError(
            f"pointwise.{name}: {token!r} is not one token; the tokenizer makes {spelled} of it: give one of its tokens, or an id"
        )
    return int(found)


def _check_control_tokens(tokenizer: Any, prompt: str) -> None:
    """A template of another family would be read as letters, and rank badly without a word."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    if unknown := sorted(set(_CONTROL.findall(prompt)) - added):
        raise ModelError(f"the prompt uses {', '.join(unknown)}, which this tokenizer does not know: the template belongs to another model")
