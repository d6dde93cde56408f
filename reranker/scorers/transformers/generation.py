"""The classic listwise decoder through transformers: the whole ordering, token by token, with a KV cache. FIRST's baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from firstrank.reranker.prompt.orderings import Ordering
from firstrank.reranker.types import Scores

if TYPE_CHECKING:
    import torch

    from firstrank.reranker.models.loaded import Model

_PAD = 0
"""the token id that fills rows which are shorter, or done"""


class Generation:
    """Generates orderings greedily: free, or each held to exactly one complete ordering, where it stops."""

    def __init__(self, network: Any, model: Model, *, constrained: bool) -> None:
        self._prompter, self._tokenizer = model.prompter, model.tokenizer
        self._network, self._constrained = network, constrained and not self._prompter.thinking

    def rank(self, prompts: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[Scores]:
        """The orderings of windows of so many passages as scores, n for the best to 1 for the last; a note tells what was repaired.

        The prompts of a batch end together: shorter ones are padded on the left, and masked.
        """
        import torch

        longest = max(map(len, prompts))
        padded = [[*[_PAD] * (longest - len(prompt)), *prompt] for prompt in prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        held = _Held([self._prompter.ordering.upto(n) for n in sizes], longest)
        with torch.inference_mode():
            whole = self._network.generate(
                torch.tensor(padded, device=self._network.device),
                attention_mask=torch.tensor(seen, device=self._network.device),
                max_new_tokens=max(map(self._prompter.reserve, sizes)),
                do_sample=False,
                pad_token_id=_PAD,
                **(held.settings() if self._constrained else {}),
            )
        written = [
            row[: held.length(i, row) if self._constrained else self._length(row)] for i, row in enumerate(whole[:, longest:].tolist())
        ]
        return [self._scores(ids, n) for ids, n in zip(written, sizes, strict=True)]

    def _scores(self, generated: list[int], n: int) -> Scores:
        parsed = self._prompter.read_ordering(self._tokenizer.decode(generated, skip_special_tokens=True), n)
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, generated_tokens=len(generated), notes=notes)

    def _length(self, row: list[int]) -> int:
        """Up to the token that ends a text, if it was written."""
        ends = self._network.generation_config.eos_token_id
        known = {ends} if isinstance(ends, int) else set(ends or ())
        return next((place + 1 for place, index in enumerate(row) if index in known), len(row))


class _Held:
    """Rows that may write one complete ordering each, from the place `start` on."""

    def __init__(self, orderings: Sequence[Ordering], start: int) -> None:
        self._orderings, self._start = orderings, start
        self._lengths: dict[int, int] = {}
        """row -> tokens of its ordering, once that is complete"""

    def settings(self) -> dict[str, Any]:
        """Those of `generate`."""
        from transformers import StoppingCriteriaList

        return {"prefix_allowed_tokens_fn": self._allowed, "stopping_criteria": StoppingCriteriaList([self._complete])}

    def length(self, row: int, ids: Sequence[int]) -> int:
        return self._lengths.get(row, len(ids))

    def _allowed(self, row: int, ids: torch.Tensor) -> list[int]:
        return [_PAD] if row in self._lengths else self._orderings[row].allowed(ids[self._start :].tolist())

    def _complete(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        for row, written in enumerate(ids[:, self._start :].tolist()):
            if row not in self._lengths and not self._orderings[row].allowed(written):
                self._lengths[row] = len(written)
        return torch.tensor([row in self._lengths for row in range(len(ids))], device=ids.device)
