"""Samples as the tensors of one forward pass, padded or packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstrank.training.samples.sample import Sample
from firstrank.training.sections import Batching


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as tensors; each is one window. Rows index the hidden states of all positions, flattened."""

    input_ids: Tensor
    """[rows, tokens], padded on the right, where causal attention cannot see it; packed: [1, all tokens]"""
    position_ids: Tensor | None
    """packed only: restarts at each window"""
    label_rows: Tensor
    """[windows]: the last position of each prompt"""
    mark_rows: Tensor
    """[windows, passages]: where each passage has been read; the window's first position where there is no such passage"""
    targets: Tensor
    """[windows, passages]: grades, or a teacher's scores"""
    mask: Tensor
    """[windows, passages]: false where there is no such passage"""
    places: Tensor
    """[windows, passages]: places in the first stage"""
    answer_rows: Tensor
    """[answer tokens]: positions whose next token is of the answer"""
    answer_ids: Tensor
    answer_weights: Tensor
    """[answer tokens]: sums to the mean importance over each window"""
    answer_windows: Tensor
    """[answer tokens]: whose answer it is"""
    tokens: int
    qids: tuple[str, ...]
    segments: tuple[tuple[int, int], ...] | None = None
    """packed only: where each window begins and ends"""
    weights: Tensor | None = None
    """[windows]: what each counts, where the losses of a whole step decide that"""
    likely: Tensor | None = None
    """[windows, passages]: label logits of the weights before training, where a loss asks for them"""

    def to(self, device: torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """For copies to a GPU that need not be waited for."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {one.name: found for one in fields(self) if isinstance(found := getattr(self, one.name), Tensor)}
        changed: dict[str, Any] = {name: change(tensor) for name, tensor in tensors.items()}
        return replace(self, **changed)


def shared_out(samples: Sequence[Sample], settings: Batching) -> Iterator[Sequence[Sample]]:
    """A step's samples, one forward pass after another: by the budget of tokens, else so many windows each."""
    if settings.tokens is None:
        yield from (samples[i : i + settings.windows] for i in range(0, len(samples), settings.windows))
        return
    begin = taken = 0
    for i, sample in enumerate(samples):
        size = len(sample.prompt) + max(0, len(sample.answer) - 1)
        if i > begin and taken + size > settings.tokens:
            yield samples[begin:i]
            begin, taken = i, 0
        taken += size
    yield samples[begin:]


def collate(samples: Sequence[Sample], *, packing: bool = False, pad: int = 0) -> Batch:
    sequences = [[*sample.prompt, *sample.answer[:-1]] for sample in samples]
    lengths = [len(sequence) for sequence in sequences]
    stride = 0 if packing else max(lengths)
    starts = np.cumsum([0, *lengths[:-1]]).tolist() if packing else [i * stride for i in range(len(samples))]
    if packing:
        ids = torch.tensor([[token for sequence in sequences for token in sequence]])
        positions = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    else:
        ids = torch.tensor([sequence + [pad] * (stride - len(sequence)) for sequence in sequences])
        positions = None
    last = [start + len(sample.prompt) - 1 for start, sample in zip(starts, samples, strict=True)]
    most = max(len(sample.grades) for sample in samples)
    rows = [
        (row + i, token, weight / len(sample.answer), which)
        for which, (row, sample) in enumerate(zip(last, samples, strict=True))
        for i, (token, weight) in enumerate(zip(sample.answer, sample.importance, strict=True))
    ]
    return Batch(
        input_ids=ids,
        position_ids=positions,
        label_rows=torch.tensor(last),
        mark_rows=torch.tensor([_padded(sample.marks, most) for sample in samples]) + torch.tensor(starts).unsqueeze(1),
        targets=torch.tensor([_padded(sample.targets, most) for sample in samples]),
        mask=torch.tensor([[i < len(sample.grades) for i in range(most)] for sample in samples]),
        places=torch.tensor([_padded(sample.places, most) for sample in samples]),
        answer_rows=torch.tensor([row for row, _, _, _ in rows], dtype=torch.long),
        answer_ids=torch.tensor([token for _, token, _, _ in rows], dtype=torch.long),
        answer_weights=torch.tensor([weight for _, _, weight, _ in rows], dtype=torch.float32),
        answer_windows=torch.tensor([which for _, _, _, which in rows], dtype=torch.long),
        tokens=sum(lengths),
        qids=tuple(sample.qid for sample in samples),
        segments=tuple((start, start + length) for start, length in zip(starts, lengths, strict=True)) if packing else None,
    )


def _padded(values: Sequence[float], most: int) -> list[float]:
    return [*values, *(0 for _ in range(most - len(values)))]
