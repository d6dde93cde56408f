"""Loaded by vLLM's engine, in its own process: holds a generated ordering to exactly one complete one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from firstrank.reranker.prompt.orderings import Ordering, Walk

if TYPE_CHECKING:
    import torch

ARGUMENT = "firstrank_ordering"
"""under which a request's `extra_args` give {"first": …, "later": …, "end": …}: an Ordering, and the token after a complete one"""


class OrderingProcessor(AdapterLogitsProcessor):  # type: ignore[misc]  # vLLM has no types
    """Masks the logits of requests that carry an ordering; others pass untouched."""

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Only VLLMScorer writes the argument."""

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: Any) -> _Held | None:
        given = (params.extra_args or {}).get(ARGUMENT)
        return None if given is None else _Held(given)


class _Held:
    """One request's way through its ordering."""

    def __init__(self, given: dict[str, Any]) -> None:
        first, later = (tuple(map(tuple, given[name])) for name in ("first", "later"))
        self._walk, self._end = Walk(Ordering(first, later)), given["end"]

    def __call__(self, output_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
        allowed = self._walk.allowed(output_ids) or [self._end]
        kept = logits[allowed]
        logits.fill_(float("-inf"))
        logits[allowed] = kept
        return logits
