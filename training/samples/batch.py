"""Samples as the tensors of one forward pass, padded or packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstrank.training.samples.sample import Sample


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
    """[windows, passages]: grades"""
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

    def to(self, device: torch.device) -> Batch:
        tensors = {one.name: found for one in fields(self) if isinstance(found := getattr(self, one.name), Tensor)}
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
        return replace(self, **moved)


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
        targets=torch.tensor([_padded(sample.grades, most) for sample in samples]),
        mask=torch.tensor([[i < len(sample.grades) for i in range(most)] for sample in samples]),
        places=torch.tensor([_padded(sample.places, most) for sample in samples]),
        answer_rows=torch.tensor([row for row, _, _, _ in rows], dtype=torch.long),
        answer_ids=torch.tensor([token for _, token, _, _ in rows], dtype=torch.long),
        answer_weights=torch.tensor([weight for _, _, weight, _ in rows], dtype=torch.float32),
        answer_windows=torch.tensor([which for _, _, _, which in rows], dtype=torch.long),
        tokens=sum(lengths),
        qids=tuple(sample.qid for sample in samples),
    )


def _padded(values: Sequence[float], most: int) -> list[float]:
    return [*values, *(0 for _ in range(most - len(values)))]
