"""The shapes in which decision endpoints are asked one `choice` question and answer with a probability for each option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from firstrank.reranker.errors import ScorerError

_ID = "best"
_NOTHING = "(empty)"
_LEAST = 1e-38
"""what a probability that came as 0 counts for: the smallest that float32 holds"""


class Choice(NamedTuple):
    """One window as a question."""

    state: str
    """what is known before the question: the query"""
    question: str
    options: tuple[str, ...]
    """the passages' texts"""

    @property
    def names(self) -> list[str]:
        return [str(number) for number in range(1, len(self.options) + 1)]

    @property
    def described(self) -> list[tuple[str, str]]:
        return [(name, text or _NOTHING) for name, text in zip(self.names, self.options, strict=True)]


class Read(NamedTuple):
    """An answer: log probabilities of the options, and what the host counted."""

    values: tuple[float, ...]
    prompt_tokens: int
    generated_tokens: int
    label_mass: float | None


class Shape(Protocol):
    """A host's way to be asked."""

    route: str
    most: int
    """options of a question"""

    def body(self, choice: Choice) -> Mapping[str, Any]:
        """The request, but for the model's name."""
        ...

    def read(self, answer: Any, choice: Choice) -> Read:
        """Raises ScorerError where an option has no probability, for a refusal, and for another shape."""
        ...


class SystemOne:
    """vLLM's `POST /v1/systemone` (0.32), and hosts of the same shape."""

    route, most = "/v1/systemone", 26

    def body(self, choice: Choice) -> Mapping[str, Any]:
        question = {"type": "choice", "instructions": choice.question, "criteria": dict(choice.described)}
        return {"state": choice.state, "questions": {_ID: question}}

    def read(self, answer: Any, choice: Choice) -> Read:
        found = _at(answer, "answers", _ID)
        mass = (answer.get("diagnostics") or {}).get(_ID, {}).get("label_mass")
        return _read(answer, _at(found, "probabilities"), choice, mass)


class SGLangDecisions:
    """SGLang's `POST /v1/decisions` (0.5.23)."""

    route, most = "/v1/decisions", 26

    def body(self, choice: Choice) -> Mapping[str, Any]:
        options = [{"name": name, "description": text} for name, text in choice.described]
        return {"input": choice.state, "questions": [{"id": _ID, "type": "choice", "question": choice.question, "options": options}]}

    def read(self, answer: Any, choice: Choice) -> Read:
        found = _at(answer, "answers", _ID)
        return _read(answer, _at(found, "probabilities"), choice, found.get("label_mass"))


class OpenAIDecisions:
    """OpenAI's `POST /v1/decisions`, as its SDK 3.57 has it, and hosts of the same shape."""

    route, most = "/v1/decisions", 255

    def body(self, choice: Choice) -> Mapping[str, Any]:
        choices = [{"value": name, "description": text} for name, text in choice.described]
        return {"input": choice.state, "questions": [{"type": "choice", "name": _ID, "instructions": choice.question, "choices": choices}]}

    def read(self, answer: Any, choice: Choice) -> Read:
        found = _at(answer, "answers", 0)
        if found.get("type") == "refusal":
            raise ScorerError("the model refuses to answer for this window")
        listed = _at(found, "probabilities")
        try:
            shares = {str(one["value"]): one["probability"] for one in listed}
        except (TypeError, KeyError) as error:
            raise ScorerError(f"the host's answer has no probabilities of options: {str(listed)[:80]}") from error
        return _read(answer, shares, choice, None)


SHAPES: Mapping[str, Shape] = {"systemone": SystemOne(), "openai": OpenAIDecisions(), "sglang": SGLangDecisions()}
"""in the order in which they are tried"""


def _at(found: Any, *path: Any) -> Any:
    here = found
    try:
        for step in path:
            here = here[step]
    except (TypeError, KeyError, IndexError) as error:
        raise ScorerError(f"the host's answer has no {'.'.join(map(str, path))}: {str(found)[:80]}") from error
    return here


def _read(answer: Any, shares: Any, choice: Choice, mass: Any) -> Read:
    if not isinstance(shares, Mapping):
        raise ScorerError(f"the host's answer has no probabilities of options: {str(shares)[:80]}")
    values = _logs(shares, choice.names)
    usage = answer.get("usage") or {}
    read, written = usage.get("input_tokens", usage.get("prompt_tokens")), usage.get("output_tokens", usage.get("completion_tokens"))
    return Read(values, int(read or 0), int(written or 0), None if mass is None else float(mass))


def _logs(shares: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...]:
    if lacking := [name for name in names if not isinstance(shares.get(name), (int, float)) or not math.isfinite(shares[name])]:
        raise ScorerError(f"the host's answer lacks {len(lacking)} of {len(names)} options")
    return tuple(math.log(max(float(shares[name]), _LEAST)) for name in names)
