"""The classic listwise decoder through transformers: the whole ordering, token by token, with a KV cache. FIRST's baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from firstrank.reranker.prompt.orderings import Ordering
from firstrank.reranker.types import Scores

if TYPE_CHECKING:
    import torch

    from firstrank.reranker.models.loaded import Model


class Generation:
    """Generates orderings greedily: free, or held to exactly one complete ordering, where it stops."""

    def __init__(self, network: Any, model: Model, *, constrained: bool) -> None:
        self._prompter, self._tokenizer = model.prompter, model.tokenizer
        self._network, self._constrained = network, constrained and not self._prompter.thinking

    def rank(self, prompt: Sequence[int], n: int) -> Scores:
        """The ordering of a window of n as scores, n for the best to 1 for the last; a note tells what was repaired."""
        import torch

        ordering = self._prompter.ordering.upto(n)
        ids = torch.tensor([list(prompt)], device=self._network.device)
        with torch.inference_mode():
            whole = self._network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self._prompter.reserve(n),
                do_sample=False,
                pad_token_id=0,
                **(self._held_to(ordering, len(prompt)) if self._constrained else {}),
            )
        generated = whole[0, len(prompt) :].tolist()
        parsed = self._prompter.read_ordering(self._tokenizer.decode(generated, skip_special_tokens=True), n)
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, generated_tokens=len(generated), notes=notes)

    def _held_to(self, ordering: Ordering, start: int) -> dict[str, Any]:
        from transformers import StoppingCriteriaList

        def allowed(_: int, ids: torch.Tensor) -> list[int]:
            return ordering.allowed(ids[start:].tolist())

        def complete(ids: torch.Tensor, scores: Any, **_: Any) -> bool:
            return not ordering.allowed(ids[0, start:].tolist())

        return {"prefix_allowed_tokens_fn": allowed, "stopping_criteria": StoppingCriteriaList([complete])}
