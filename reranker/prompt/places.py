"""The places of a template, filled for one request: what its author wrote is trusted, what a caller gave is data."""

from __future__ import annotations

import re

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.encoder import Data, Text, Trusted
from firstrank.reranker.prompt.template import Form
from firstrank.reranker.types import Request

_PLACES = re.compile(r"(\{query\}|\{instruction\})")


def instruction_of(form: Form, request: Request) -> str:
    """What stands at `{instruction}`: the request's own, else the template's. Raises InputError for one that has no place."""
    if request.instruction is None:
        return form.instruction.strip()
    check_instruction(form, request.instruction)
    return request.instruction.strip()


def check_instruction(form: Form, instruction: str) -> None:
    """Raises InputError for an instruction without a place, and for one that says nothing."""
    if not form.takes_instruction:
        raise InputError(f"instruction: the model's template {form.name!r} has no place for one; leave it out, or use another model")
    if not instruction.strip():
        raise InputError("instruction: is empty; leave it out to use the template's own")


def filled(text: str, form: Form, instruction: str, query: str) -> tuple[Text, ...]:
    """A literal with `{query}` and `{instruction}` in place; no part of it is empty."""
    before, after = form.instructed.split("{instruction}")
    at: dict[str, tuple[Text, ...]] = {
        "{query}": (Data(query.strip()),),
        "{instruction}": (Trusted(before), Data(instruction), Trusted(after)) if instruction else (),
    }
    return tuple(part for piece in _PLACES.split(text) for part in at.get(piece, (Trusted(piece),)) if part)
