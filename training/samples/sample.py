"""Samples as token ids with their targets, and batches of them. Prompts are a `Prompter`'s: training reads what serving will."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.samples.draw import Drawn, Order, draw, shape_of
from firstrank.training.samples.examples import Examples


@dataclass(frozen=True, slots=True)
class Window:
    """One sample. The label logits are read after `prompt`; `answer` is the target ordering, spelled."""

    qid: str
    prompt: list[int]
    marks: list[int]
    """positions in the prompt: where each passage has been read"""
    grades: tuple[float, ...]
    places: tuple[int, ...]
    answer: list[int]
    importance: list[float]
    """of each token of the answer; their mean loss is the window's LM loss"""


class Windows(torch.utils.data.Dataset[Window]):
    """The samples of a run, by number: what sample k is depends on the seed and k alone."""

    def __init__(self, config: Config, model: Model, examples: Examples, total: int) -> None:
        self._config, self._model, self._examples, self._total = config, model, examples, total
        self._order = Order(len(examples), config.seed)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, sample: int) -> Window:
        """Raises InputError that names the example's line, where its window cannot be encoded."""
        place = self._order[sample]
        settings, progress = self._config.draw, sample / max(self._total - 1, 1)
        shape = shape_of(settings, progress, np.random.default_rng((self._config.seed, 2, sample // settings.alike)))
        rng = np.random.default_rng((self._config.seed, 1, sample))
        drawn = draw(self._examples[place], self._examples, settings, shape, progress, rng)
        try:
            return encoded(drawn, self._model, self._config)
        except InputError as error:
            raise InputError(f"{self._examples.where(place)}: {error}") from error


def encoded(drawn: Drawn, model: Model, config: Config) -> Window:
    """Raises InputError for a query too long, and for more passages than there are labels or room."""
    request, n, prompter = drawn.request, len(drawn.grades), model.prompter
    parts = prompter.encode(request)
    if n > parts.max_window:
        labels = len(prompter.identifiers)
        why = (
            f"the tokenizer has {labels} labels"
            if n > labels
            else f"the context of {prompter.context} tokens has room for {parts.max_window}"
        )
        raise InputError(f"query {request.qid!r}: {n} passages in one window, but {why}; say draw.window=[2, {min(parts.max_window, 20)}]")
    lm = config.loss.lm
    answer, importance = target_ordering(drawn, model, lm.importance == "rank") if lm.weight else ([], [])
    prompt, marks = parts.marked(range(n))
    return Window(request.qid, prompt, marks, drawn.grades, drawn.places, answer, importance)


def target_ordering(drawn: Drawn, model: Model, by_rank: bool) -> tuple[list[int], list[float]]:
    """The ids of the best-first ordering and its end, and what each counts; passages that tie stand in first-stage order."""
    order = sorted(range(len(drawn.grades)), key=lambda i: (-drawn.grades[i], drawn.places[i]))
    language = model.prompter.ordering
    ids: list[int] = []
    importance: list[float] = []
    for rank, place in enumerate(order, 1):
        spelled = (language.later if ids else language.first)[place]
        name = set(model.prompter.label_tokens(place))
        ids += spelled
        importance += [1.0 + 1.0 / math.log2(rank + 1) if by_rank and token in name else 1.0 for token in spelled]
    end = model.tokenizer.eos_token_id
    return (ids, importance) if end is None else ([*ids, end], [*importance, 1.0])


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows as tensors. Rows index the hidden states of all positions, flattened."""

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


def collate(windows: Sequence[Window], *, packing: bool = False, pad: int = 0) -> Batch:
    sequences = [[*window.prompt, *window.answer[:-1]] for window in windows]
    lengths = [len(sequence) for sequence in sequences]
    stride = 0 if packing else max(lengths)
    starts = np.cumsum([0, *lengths[:-1]]).tolist() if packing else [i * stride for i in range(len(windows))]
    if packing:
        ids = torch.tensor([[token for sequence in sequences for token in sequence]])
        positions = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    else:
        ids = torch.tensor([sequence + [pad] * (stride - len(sequence)) for sequence in sequences])
        positions = None
    last = [start + len(window.prompt) - 1 for start, window in zip(starts, windows, strict=True)]
    most = max(len(window.grades) for window in windows)
    rows = [
        (row + i, token, weight / len(window.answer), which)
        for which, (row, window) in enumerate(zip(last, windows, strict=True))
        for i, (token, weight) in enumerate(zip(window.answer, window.importance, strict=True))
    ]
    return Batch(
        input_ids=ids,
        position_ids=positions,
        label_rows=torch.tensor(last),
        mark_rows=torch.tensor([_padded(window.marks, most) for window in windows]) + torch.tensor(starts).unsqueeze(1),
        targets=torch.tensor([_padded(window.grades, most) for window in windows]),
        mask=torch.tensor([[i < len(window.grades) for i in range(most)] for window in windows]),
        places=torch.tensor([_padded(window.places, most) for window in windows]),
        answer_rows=torch.tensor([row for row, _, _, _ in rows], dtype=torch.long),
        answer_ids=torch.tensor([token for _, token, _, _ in rows], dtype=torch.long),
        answer_weights=torch.tensor([weight for _, _, weight, _ in rows], dtype=torch.float32),
        answer_windows=torch.tensor([which for _, _, _, which in rows], dtype=torch.long),
        tokens=sum(lengths),
        qids=tuple(window.qid for window in windows),
    )


def _padded(values: Sequence[float], most: int) -> list[float]:
    return [*values, *(0 for _ in range(most - len(values)))]
