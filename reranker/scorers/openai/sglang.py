"""SGLang's `POST /v1/score`: the log probabilities of chosen token ids after a prompt, exact; nothing is generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.openai.completions import small_window
from firstrank.reranker.types import Scores


class SGLangScore:
    """A prompt is its first part, the query, and its last token, the one item."""

    route = "/v1/score"
    remedy = ": it must be a server of SGLang that serves a model which generates text"

    def __init__(self, model: Model) -> None:
        if model.pointwise is not None and len(model.answer_ids(1)) == 1:
            raise ModelError(f"model {model.name!r}: needs a token's raw logit, and SGLang gives log probabilities; use vLLM")
        self._labels = model.answer_ids
        self.trial = small_window(model)

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        ids = list(prompt)
        return {"query": ids[:-1], "items": [ids[-1:]], "label_token_ids": list(self._labels(n)), "return_token_logprobs": True}

    def read(self, answer: Any, n: int) -> Scores:
        """Raises ScorerError where a label has no value. Servers before `return_token_logprobs` give probabilities alone."""
        wanted = len(self._labels(n))
        try:
            [logprobs] = answer.get("token_logprobs") or [[_log(one) for one in answer["scores"][0]]]
            values = tuple(float(one) for one in logprobs)
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            raise ScorerError(f"the server's answer holds no scores: {str(answer)[:80]}") from error
        if len(values) != wanted or not all(map(math.isfinite, values)):
            raise ScorerError(f"the server's answer lacks {wanted - sum(map(math.isfinite, values))} of {wanted} labels")
        return Scores(values)


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
