"""Queries written by a causal language model on this machine, greedily: the same passages give the same queries."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.arithmetic import chosen, dtype_of
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.scorer import device_for, load_onto
from firstrank.reranker.types import Passage
from firstrank.training.data.questions import Asking, Written

if TYPE_CHECKING:
    import torch

_TOGETHER = 8
"""passages of a batch"""
_TOKENS = 48
"""of a query, at most"""
_PAD = 0
"""the token id that fills shorter rows"""


class LocalWriter:
    """Raises ModelError for a model that cannot write, InputError for arithmetic that it has not."""

    def __init__(self, model: Model, options: TransformersOptions, asking: Asking) -> None:
        import torch

        if model.spec.layers is not None or model.spec.norm != "own":
            raise ModelError(f"model {model.name!r}: is cut to what ranks, and cannot write: take another, for example smollm2-base")
        self._device = torch.device(device_for(options.device))
        asked = "float32" if self._device.type == "cpu" and options.dtype in (None, "auto") else options.dtype
        arithmetic = chosen(asked, model.spec.dtype, on_cpu=self._device.type == "cpu")
        if arithmetic in ("int8", "fp8"):
            raise InputError(f"--dtype {arithmetic}: queries are written in float32, bfloat16 or float16")
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self._model, self._asking = model, asking
        self._network = load_onto(model, self._device, dtype_of(arithmetic))

    def write(self, passages: Sequence[Passage], done: Container[str]) -> Iterator[Written]:
        """Batches are the same whatever is done, and so is what is written."""
        for first in range(0, len(passages), _TOGETHER):
            batch = passages[first : first + _TOGETHER]
            if any(passage.docid not in done for passage in batch):
                written = self._batch(batch)
                yield from (one for one in written if one.docid not in done)

    def _batch(self, passages: Sequence[Passage]) -> list[Written]:
        prompts = [self._model.tokenizer.encode(self._asking.of(passage), verbose=False) for passage in passages]
        fits = [i for i, prompt in enumerate(prompts) if len(prompt) + _TOKENS <= self._model.context]
        found = dict(zip(fits, self._written([passages[i] for i in fits], [prompts[i] for i in fits]), strict=True))
        long = "prompt and query are longer than the model's context: show fewer words"
        return [found.get(i, Written(passage.docid, "", fault=long)) for i, passage in enumerate(passages)]

    def _written(self, passages: Sequence[Passage], prompts: Sequence[Sequence[int]]) -> list[Written]:
        """Shorter prompts are padded on the left, and masked."""
        import torch
        from transformers import StoppingCriteriaList

        if not prompts:
            return []
        longest = max(map(len, prompts))
        padded = [[*[_PAD] * (longest - len(prompt)), *prompt] for prompt in prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        lines = _Lines(self._model.tokenizer, longest)
        with torch.inference_mode():
            found = self._network.generate(
                torch.tensor(padded, device=self._device),
                attention_mask=torch.tensor(seen, device=self._device),
                max_new_tokens=_TOKENS,
                do_sample=False,
                pad_token_id=_PAD,
                stopping_criteria=StoppingCriteriaList([lines]),
                output_logits=True,
                return_dict_in_generate=True,
            )
            likely = torch.stack(found.logits, 1).float().log_softmax(-1)
            likely = likely.gather(-1, found.sequences[:, longest:, None])[..., 0].cpu()
        rows = found.sequences[:, longest:].tolist()
        return [self._one(passage, row, values) for passage, row, values in zip(passages, rows, likely.tolist(), strict=True)]

    def _one(self, passage: Passage, row: list[int], likely: list[float]) -> Written:
        tokenizer, ends = self._model.tokenizer, _ends(self._network)
        length = next((place for place, index in enumerate(row) if index in ends or "\n" in tokenizer.decode(row[: place + 1])), None)
        if length is None and len(row) == _TOKENS:
            return Written(passage.docid, "", fault=f"the query did not end after {_TOKENS} tokens")
        text = str(tokenizer.decode(row[:length], skip_special_tokens=True))
        values = likely[:length]
        return Written(passage.docid, text, sum(values) / len(values) if values else None)


class _Lines:
    """Ends each row of `generate` after its first line."""

    def __init__(self, tokenizer: Any, start: int) -> None:
        self._tokenizer, self._start = tokenizer, start

    def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        written = [self._tokenizer.decode(row) for row in ids[:, self._start :].tolist()]
        return torch.tensor(["\n" in text for text in written], device=ids.device)


def _ends(network: Any) -> set[int]:
    """The tokens that end a text."""
    ends = network.generation_config.eos_token_id
    return {ends} if isinstance(ends, int) else set(ends or ())
