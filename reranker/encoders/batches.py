"""Texts -> batches of token ids of similar length, for encoders that read each text alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from firstrank.reranker.errors import ModelError
from firstrank.reranker.prompt.encoder import in_whole_characters

if TYPE_CHECKING:
    import torch

_BUDGET = 4096
"""padded tokens of a batch: more gain nothing on a CPU"""
_SLACK = 16
"""tokens by which the texts of a batch may differ"""


class Batch(NamedTuple):
    """Some of the texts: their places, and [texts, tokens] ids with 1 where a token is real."""

    places: list[int]
    ids: torch.Tensor
    mask: torch.Tensor


class Batches:
    """A folder's tokenizer. Raises ModelError where there is none."""

    def __init__(self, folder: Path, tokens: int) -> None:
        from tokenizers import Tokenizer

        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ModelError(f"{folder}: has no tokenizer.json: an encoder needs a fast tokenizer")
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(tokens)
        self._tokenizer.encode_special_tokens = True  # "[SEP]" in a text is letters

    def __call__(self, texts: Sequence[str]) -> Iterator[Batch]:
        """All texts, shortest first."""
        import torch

        ids = [one.ids for one in self._tokenizer.encode_batch([in_whole_characters(text) for text in texts])]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for places in _alike(order, [len(one) for one in ids]):
            batch = torch.zeros(len(places), len(ids[places[-1]]), dtype=torch.long)
            mask = torch.zeros_like(batch)
            for row, i in enumerate(places):
                batch[row, : len(ids[i])] = torch.tensor(ids[i])
                mask[row, : len(ids[i])] = 1
            yield Batch(places, batch, mask)


def _alike(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places that make a batch, one batch after the other; `order` is by length."""
    batch: list[int] = []
    for i in order:
        if batch and (lengths[i] > lengths[batch[0]] + _SLACK or lengths[i] * (len(batch) + 1) > _BUDGET):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
