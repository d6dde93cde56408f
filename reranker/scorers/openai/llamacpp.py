"""llama.cpp's own server, `POST /completion`: labels are put on top by a bias that is the same for all, so that none is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.openai.completions import small_window
from firstrank.reranker.types import Scores

_BIAS = 100.0
"""added to the logit of each label: among themselves they stay as they were"""


class LlamaCppProbs:
    """One token is sampled at temperature 1 from the biased logits; the labels' probabilities come with it, by token id."""

    route = "/completion"
    remedy = ": it must be llama-server of llama.cpp, in a version that knows post_sampling_probs"

    def __init__(self, model: Model) -> None:
        if model.pointwise is not None and len(model.answer_ids(1)) == 1:
            raise ModelError(f"model {model.name!r}: needs a token's raw logit, and llama.cpp gives only the labels' shares; use vLLM")
        self._labels = model.answer_ids
        self.trial = small_window(model)

    def question(self, prompt: Sequence[int], n: int) -> dict[str, Any]:
        labels = self._labels(n)
        return {
            "prompt": list(prompt),
            "n_predict": 1,
            "n_probs": len(labels),
            "post_sampling_probs": True,
            "samplers": ["temperature"],
            "temperature": 1.0,
            "logit_bias": [[index, _BIAS] for index in labels],
            "cache_prompt": True,
        }

    def read(self, answer: Any, n: int) -> Scores:
        """Raises ScorerError where a label has no probability."""
        try:
            [place, *_] = answer["completion_probabilities"]
            shares = {int(one["id"]): float(one["prob"]) for one in place["top_probs"]}
        except (TypeError, KeyError, ValueError) as error:
            raise ScorerError(f"the server's answer holds no top_probs: {str(answer)[:80]}") from error
        wanted = self._labels(n)
        if lacking := [index for index in wanted if not shares.get(index)]:
            raise ScorerError(f"the server's answer lacks {len(lacking)} of {len(wanted)} labels")
        return Scores(tuple(math.log(shares[index]) for index in wanted), generated_tokens=1)
