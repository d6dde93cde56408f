"""What a chat model is asked, and how its ordering is read: JSON of a schema, or `[2] > [1]`, after whatever it thought aloud."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from firstrank.reranker.errors import ScorerError
from firstrank.reranker.prompt.orderings import Parsed, parse

_THOUGHT = "</think>"
_JSON = 'Answer with JSON alone: {"ranking": [the numbers of all passages, the most relevant first]}.'


def schema(n: int) -> dict[str, Any]:
    """`response_format` for an ordering of n."""
    ranking = {"type": "array", "items": {"type": "integer", "enum": list(range(1, n + 1))}}
    shape = {"type": "object", "properties": {"ranking": ranking}, "required": ["ranking"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "ranking", "strict": True, "schema": shape}}


def asking_for_json(user: str) -> str:
    return f"{user}\n{_JSON}"


def text_of(answer: Any) -> str:
    """What the model said, without its thoughts. Raises ScorerError for what is no chat completion, for a refusal, and for a cut answer."""
    try:
        [choice] = answer["choices"]
        message = choice["message"]
        text = message.get("content") or ""
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ScorerError(f"the host's answer is no chat completion: {str(answer)[:80]}") from error
    if refusal := message.get("refusal"):
        raise ScorerError(f"the model refuses: {str(refusal)[:120]}")
    said = str(text).rpartition(_THOUGHT)[2].strip()
    if choice.get("finish_reason") == "length":
        raise ScorerError("the answer was cut short: give it more tokens with --engine-arg answer_tokens=N (thinking counts too)")
    return said


def ordering_of(text: str, identifiers: Sequence[str]) -> Parsed:
    """The ordering in an answer, repaired. Raises ScorerError where it names no passage at all: nothing is guessed from that."""
    parsed = parse(_bracketed(text), identifiers)
    if parsed.faults.missing == len(identifiers):
        raise ScorerError(f"the answer names none of the {len(identifiers)} passages: {' '.join(text.split())[:80]!r}")
    return parsed


def _bracketed(text: str) -> str:
    """JSON as the ordering that it says."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])["ranking"] if 0 <= start < end else None
    except (ValueError, KeyError, TypeError):
        return text
    return " > ".join(f"[{one}]" for one in found) if isinstance(found, list) else text
