"""Ollama's `POST /api/generate`: the prompt as raw text, and the labels among the likeliest tokens; one that is missing is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt import labels
from firstrank.reranker.scorers.openai.completions import TextPrompts, small_window
from firstrank.reranker.types import Scores


class OllamaTop:
    """One token is generated, and its `top` alternatives come with it, by text."""

    route = "/api/generate"
    remedy = ""

    def __init__(self, model: Model, top: int) -> None:
        if model.pointwise is not None and len(model.answer_ids(1)) == 1:
            raise ModelError(f"model {model.name!r}: needs a token's raw logit, and Ollama gives log probabilities; use vLLM")
        self._top, self._labels, self._text = top, model.answer_ids, TextPrompts(model)
        self._names = [model.tokenizer.decode([index]) for index in model.answer_ids(labels.MOST)]
        self.trial = small_window(model)

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        options = {"num_predict": 1, "temperature": 0}
        return {
            "prompt": self._text.of(prompt),
            "raw": True,
            "stream": False,
            "logprobs": True,
            "top_logprobs": self._top,
            "options": options,
        }

    def read(self, answer: Any, n: int) -> Scores:
        """Raises ScorerError where a label is not among the tokens that came."""
        try:
            found = {one["token"]: float(one["logprob"]) for one in answer["logprobs"][0]["top_logprobs"]}
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise ScorerError(
                f"the server's answer holds no top_logprobs (Ollama 0.12.11 and later give them): {str(answer)[:80]}"
            ) from error
        names = self._names[: len(self._labels(n))]
        if lacking := [name for name in names if name not in found]:
            raise ScorerError(
                f"the server's answer lacks {len(lacking)} of {len(names)} labels ({', '.join(lacking[:5])}): every label must be in the "
                f"{self._top} likeliest tokens that were asked for; give a smaller --window"
            )
        return Scores(tuple(found[name] for name in names), generated_tokens=1)
