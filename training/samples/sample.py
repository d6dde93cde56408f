"""Samples as token ids with their targets. Prompts are a `Prompter`'s: training reads what serving will."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.samples.draw import Drawn, Shuffle, draw, extent_of
from firstrank.training.samples.examples import Examples


@dataclass(frozen=True, slots=True)
class Sample:
    """A window as it is trained on. The label logits are read after `prompt`; `answer` is the target ordering, spelled."""

    qid: str
    prompt: list[int]
    marks: list[int]
    """positions in the prompt: where each passage has been read"""
    grades: tuple[float, ...]
    places: tuple[int, ...]
    answer: list[int]
    importance: list[float]
    """of each token of the answer; their mean loss is the window's LM loss"""


class Samples(torch.utils.data.Dataset[Sample]):
    """The samples of a run, by number: what sample k is depends on the seed and k alone."""

    def __init__(self, config: Config, model: Model, examples: Examples, total: int) -> None:
        self._config, self._model, self._examples, self._total = config, model, examples, total
        self._shuffle = Shuffle(len(examples), config.seed)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, sample: int) -> Sample:
        """Raises InputError that names the example's line, where its window cannot be encoded."""
        place = self._shuffle[sample]
        settings, progress = self._config.draw, sample / max(self._total - 1, 1)
        extent = extent_of(settings, progress, np.random.default_rng((self._config.seed, 2, sample // settings.alike)))
        rng = np.random.default_rng((self._config.seed, 1, sample))
        drawn = draw(self._examples[place], self._examples, settings, extent, progress, rng)
        try:
            return encoded(drawn, self._model, self._config)
        except InputError as error:
            raise InputError(f"{self._examples.where(place)}: {error}") from error


def encoded(drawn: Drawn, model: Model, config: Config) -> Sample:
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
    return Sample(request.qid, prompt, marks, drawn.grades, drawn.places, answer, importance)


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
