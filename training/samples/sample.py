"""Samples as token ids with their targets. Prompts are a `Prompter`'s: training reads what serving will."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.types import Request
from firstrank.training.config import Config
from firstrank.training.samples.draw import Drawn, Shuffle, draw, extent_of
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.fit import check_room
from firstrank.training.sections import LMLoss

_CHARACTERS = 64
"""of a token, on average at most"""


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
    targets: tuple[float, ...]
    """what the ranking loss is to learn: the grades, or a teacher's scores"""


class Samples(torch.utils.data.Dataset[Sample]):
    """The samples of a run, by number: what sample k is depends on the seed and k alone."""

    def __init__(self, config: Config, model: Model, examples: Examples, total: int) -> None:
        self._config, self._model, self._examples, self._total = config, model, examples, total
        self._shuffle = Shuffle(examples.sizes, config.seed, config.weights)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, sample: int) -> Sample:
        """Raises InputError that names the example's line, where its window cannot be encoded."""
        try:
            return encoded(self._drawn(sample), self._model, self._config)
        except InputError as error:
            raise InputError(f"{self._examples.where(self._shuffle[sample])}: {error}") from error

    def targets(self, count: int) -> list[torch.Tensor]:
        """What the ranking loss is to learn of some `count` windows from all over the run, each [passages]."""
        taken = range(0, self._total, max(1, self._total // count))
        return [torch.tensor(targets_of(self._drawn(sample), self._config)) for sample in taken]

    def _drawn(self, sample: int) -> Drawn:
        settings, progress = self._config.draw, sample / max(self._total - 1, 1)
        extent = extent_of(settings, progress, np.random.default_rng((self._config.seed, 2, sample // settings.alike)))
        rng = np.random.default_rng((self._config.seed, 1, sample))
        return draw(self._examples[self._shuffle[sample]], self._examples, settings, extent, progress, rng)


def encoded(drawn: Drawn, model: Model, config: Config) -> Sample:
    """Raises InputError for a query too long, and for more passages than there are labels or room."""
    n, prompter = len(drawn.grades), model.prompter
    request = _shortened(drawn.request, prompter)
    parts = prompter.encode(request)
    check_room(parts.max_window, n, request.qid, prompter)
    answer, importance = spelled(drawn.grades, drawn.places, model, config.loss.lm) if config.loss.lm.weight.ever else ([], [])
    prompt, marks = parts.marked(range(n))
    return Sample(request.qid, prompt, marks, drawn.grades, drawn.places, answer, importance, targets_of(drawn, config))


def targets_of(drawn: Drawn, config: Config) -> tuple[float, ...]:
    """What the ranking loss is to learn. Raises InputError where that are scores, and the example has none."""
    if config.loss.rank.targets == "grades":
        return drawn.grades
    if drawn.scores is None:
        raise InputError(f"query {drawn.request.qid!r}: loss.rank.targets=scores, but the example has no 'scores'")
    return drawn.scores


def _shortened(request: Request, prompter: Prompter) -> Request:
    """Long documents are cut before they are encoded, far behind what can be shown of them."""
    most = prompter.most(request)
    if most is None or prompter.template.excerpt != "start":
        return request
    limit = _CHARACTERS * most
    passages = tuple(replace(one, text=one.text[:limit]) if len(one.text) > limit else one for one in request.passages)
    return replace(request, passages=passages)


def spelled(grades: Sequence[float], ties: Sequence[float], model: Model, lm: LMLoss) -> tuple[list[int], list[float]]:
    """The ids of the best-first ordering and its end, and what each counts; passages that tie stand by `ties`, the lowest first.

    Identifiers within a tie count 0 unless the recipe says otherwise: their order means nothing. Where all tie, nothing counts.
    """
    order = sorted(range(len(grades)), key=lambda i: (-grades[i], ties[i]))
    often = Counter(grades)
    language, end = model.prompter.ordering, model.tokenizer.eos_token_id
    ids: list[int] = []
    importance: list[float] = []
    for rank, place in enumerate(order, 1):
        ordered = (language.later if ids else language.first)[place]
        name = set(model.prompter.label_tokens(place))
        counts = 1.0 + 1.0 / math.log2(rank + 1) if lm.importance == "rank" else 1.0
        if lm.ties == "ignored" and often[grades[place]] > 1:
            counts = 0.0
        ids += ordered
        importance += [counts if token in name else 1.0 for token in ordered]
    if end is not None:
        ids, importance = [*ids, end], [*importance, 1.0]
    return ids, importance if len(often) > 1 else [0.0] * len(ids)


def respelled(sample: Sample, likely: Sequence[float], model: Model, lm: LMLoss) -> Sample:
    """The sample with its ties in the order that the model finds likeliest by its label logits (Order Matters, Vinyals et al.,
    ICLR 2016, arXiv 1511.06391): the target is the easiest to learn of those that the grades allow."""
    answer, importance = spelled(sample.grades, [-value for value in likely], model, lm)
    return replace(sample, answer=answer, importance=importance)
