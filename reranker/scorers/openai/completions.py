"""What is asked of OpenAI's completions route for one window, and how the answer is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt import labels
from firstrank.reranker.types import Passage, Request, Scores

ROUTE = "/v1/completions"


class Completion(Protocol):
    """A way to rank by completion: an engine's."""

    route: str
    """where it is posted"""

    @property
    def trial(self) -> Sequence[int]:
        """A prompt to try a server out with."""
        ...

    @property
    def remedy(self) -> str:
        """What to do where a server fails the trial."""
        ...

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        """The request's body, but for the model's name."""
        ...

    def read(self, answer: Any, n: int) -> Scores:
        """Raises ScorerError for an answer that does not hold what was asked for."""
        ...


class LabelsById:
    """One token is sampled, and the log probabilities of the labels' ids come with it (vLLM's `logprob_token_ids`)."""

    route = ROUTE
    remedy = (
        ": it does not answer by token id, so a label could be lost. It must be a vLLM whose OpenAI routes know logprob_token_ids "
        "(0.32 does); another server can be asked for top-k logprobs: --engine-arg labels=top"
    )

    def __init__(self, model: Model) -> None:
        self._labels = model.answer_ids
        self._logits = model.pointwise is not None and len(model.answer_ids(1)) == 1
        """whether a log probability will not do: one token's logit says how good a passage is, its share of the whole does not"""
        self.trial = small_window(model)

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        wanted = list(self._labels(n))
        return one_token(prompt) | {"logprobs": 1, "logprob_token_ids": wanted, "return_tokens_as_token_ids": True}

    def read(self, answer: Any, n: int) -> Scores:
        found = _top_logprobs(answer)
        if self._logits and found and max(found.values()) <= 0:
            raise ScorerError(
                "this model needs a token's raw logit, and the server gives log probabilities: start it with --logprobs-mode raw_logits"
            )
        return scores_of(answer, [found.get(f"token_id:{index}") for index in self._labels(n)])


class LabelsInTop:
    """One token is sampled, and the labels are looked for among its `top` alternatives, by id if the server names ids, else by text."""

    route = ROUTE

    def __init__(self, model: Model, top: int, *, as_text: bool = False) -> None:
        self._text = TextPrompts(model) if as_text else None
        if model.pointwise is not None and len(model.answer_ids(1)) == 1:
            raise ModelError(
                f"model {model.name!r}: needs a token's raw logit, which labels=top does not give; use a vLLM server and labels=ids"
            )
        self._top, self._labels = top, model.answer_ids
        self._names = [model.tokenizer.decode([index]) for index in model.answer_ids(labels.MOST)]
        self.trial = small_window(model)
        self.remedy = (
            f"; labels=top asks for the {top} likeliest tokens, and a label must be one of them: --engine-arg top=100 asks for more"
        )

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        asked = one_token(prompt) | {"logprobs": self._top}
        return asked | ({"return_tokens_as_token_ids": True} if self._text is None else {"prompt": self._text.of(prompt)})

    def read(self, answer: Any, n: int) -> Scores:
        found = _top_logprobs(answer)
        names = zip(self._labels(n), self._names, strict=False)
        return scores_of(answer, [found.get(f"token_id:{index}", found.get(name)) for index, name in names])


class TextPrompts:
    """Prompts for servers that take text alone, and read control tokens in it wherever they stand."""

    def __init__(self, model: Model) -> None:
        self._tokenizer = model.tokenizer
        self._added = set(model.tokenizer.added_tokens_decoder)

    def of(self, prompt: Sequence[int]) -> str:
        """Raises ScorerError where a passage or the query spells a control token, which the server would take for one."""
        text = str(self._tokenizer.decode(list(prompt), skip_special_tokens=False, clean_up_tokenization_spaces=False))
        read = self._tokenizer.encode(text, add_special_tokens=False)
        if [one for one in read if one in self._added] != [one for one in prompt if one in self._added]:
            raise ScorerError("a passage or the query contains a control token of the model, and this server takes prompts as text only")
        return text


class Ordered:
    """The whole ordering, generated freely."""

    route = ROUTE
    remedy = ""

    def __init__(self, model: Model) -> None:
        self._prompter = model.prompter
        self.trial = small_window(model)

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        return one_token(prompt) | {"max_tokens": self._prompter.reserve(n)}

    def read(self, answer: Any, n: int) -> Scores:
        parsed = self._prompter.read_ordering(str(choice_of(answer).get("text", "")), n)
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, generated_tokens=_generated(answer), notes=notes)


def small_window(model: Model) -> list[int]:
    """The prompt of two short passages, or of the first."""
    request = Request("bees", (Passage("0", "Bees make honey."), Passage("1", "Stones.")))
    return model.prompter.encode(request).prompt((0, 1)) if model.pointwise is None else model.pointwise.encode(request).prompt(0)


def one_token(prompt: Sequence[int]) -> dict[str, Any]:
    return {"prompt": list(prompt), "max_tokens": 1, "temperature": 0.0}


def scores_of(answer: Any, values: Sequence[float | None]) -> Scores:
    found = [float(value) for value in values if value is not None]
    if lacking := len(values) - len(found):
        raise ScorerError(f"the server's answer lacks {lacking} of {len(values)} labels")
    return Scores(tuple(found), generated_tokens=_generated(answer), label_mass=_mass(found))


def _mass(values: Sequence[float]) -> float | None:
    """The labels' share of the probability, if these are log probabilities: none is above 0, nor are all of them together."""
    total = sum(map(math.exp, values)) if max(values) <= 0 else math.inf
    return total if total <= 1.001 else None


def _top_logprobs(answer: Any) -> dict[str, float]:
    """token -> log probability, at the first generated place."""
    logprobs = choice_of(answer).get("logprobs") or {}
    places = logprobs.get("top_logprobs") or [{}]
    return places[0] or {}


def choice_of(answer: Any) -> dict[str, Any]:
    try:
        [choice] = answer["choices"]
    except (TypeError, KeyError, ValueError) as error:
        raise ScorerError(f"the server's answer is no completion: {str(answer)[:80]}") from error
    return dict(choice)


def _generated(answer: Any) -> int:
    return int((answer.get("usage") or {}).get("completion_tokens") or 0)
