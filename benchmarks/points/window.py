"""Windows of passages that a step learns from: a function of their numbers and the lists, so that a run can go on where it stopped."""

from __future__ import annotations

from itertools import chain, count, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from firstrank.reranker.models.loaded import Model, prompter_of
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.prompt.pointwise import PointPrompter
from firstrank.reranker.runs.records import json_lines
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage, Request

SEED = 1
PASSAGES, CUT, TOKENS = (6, 24), (32, 104), 900
"""passages of a window; tokens of each, one number a window; tokens of all"""
AROUND = 4
"""tokens around a passage"""
RANDOM = 0.06
"""of a window's passages come from other lists"""
STUFFED = 0.12
"""of windows have a passage that repeats the query and says nothing to it"""
WHOLE, BEST = 0.35, (15, 40)
"""of windows are drawn from the whole list, the others from so many of its best"""
GOLDEN, ABOVE, BELOW = 0.75, 2.0, 0.5
"""of windows that can show a gold passage do, with a grade so far above the teachers' best; what says nothing is so far below the worst"""
EXCERPTS = 0.7
"""of windows show long passages from the query's part on, the others from their start"""


class Graded(NamedTuple):
    """A line of lists-K.jsonl."""

    query: str
    docids: list[str]
    grades: list[float]
    gold: list[str]


class Window(NamedTuple):
    """Token ids: a header, and behind it each passage by itself; with the passages' grades."""

    header: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    grades: list[float]


class Windows:
    """What the lists in a folder give a model with these settings to read. Every twelfth list of the first part is held out, 60 at most."""

    def __init__(self, folder: Path, model: Model, settings: ModelSpec) -> None:
        self._passages = {one.docid: one for one in read_passages(_packed(folder / "corpus.jsonl"))}
        files = takewhile(Path.exists, (_packed(folder / f"lists-{k}.jsonl") for k in count()))
        lists = [[Graded(**line) for _, line in json_lines(file)] for file in files]
        if not lists:
            raise SystemExit(f"{folder}: holds no lists-0.jsonl: make it with python -m benchmarks.points.data")
        self._held, lists[0] = lists[0][::12][:60], [one for i, one in enumerate(lists[0]) if i % 12]
        self._lists = list(chain.from_iterable(lists))
        self._prompters = {}
        for excerpt in ("query", "start"):
            spec = settings.model_copy(update={"passage_tokens": CUT[1], "excerpt": excerpt})
            self._prompters[excerpt] = prompter_of(spec, model.tokenizer, Path(model.path))

    def train(self, k: int) -> Window:
        """The k-th window; after the last list the first comes again, drawn otherwise."""
        return self._window(self._lists[k % len(self._lists)], np.random.default_rng((SEED, k, 0)))

    def held_out(self) -> list[Window]:
        return [self._window(one, np.random.default_rng((SEED, k, 1))) for k, one in enumerate(self._held)]

    def _window(self, one: Graded, rng: np.random.Generator) -> Window:
        cut = int(rng.integers(CUT[0], CUT[1] + 1))
        size = max(3, min(int(rng.integers(PASSAGES[0], PASSAGES[1] + 1)), TOKENS // (cut + AROUND)))
        shown = self._shown(one, size, rng)
        passages, grades = zip(*(shown[i] for i in rng.permutation(len(shown))), strict=True)
        prompter = self._prompters["query" if rng.random() < EXCERPTS else "start"]
        assert isinstance(prompter, PointPrompter)
        encoded = prompter.encode(Request(one.query, passages, passage_tokens=cut))
        return Window(encoded.header, encoded.suffixes, list(grades))

    def _shown(self, one: Graded, size: int, rng: np.random.Generator) -> list[tuple[Passage, float]]:
        """Passages of the list, the last of them gold perhaps, then strangers."""
        grades = dict(zip(one.docids, one.grades, strict=True))
        golden = bool(one.gold) and rng.random() < GOLDEN
        order = sorted(grades.keys() - one.gold, key=lambda docid: (-grades[docid], docid))
        strangers = min(size - 2, int(rng.binomial(size, RANDOM)))
        own = min(size - strangers, len(order))
        depth = len(order) if rng.random() < WHOLE else min(len(order), max(own, int(rng.integers(BEST[0], BEST[1] + 1))))
        low, high = min(one.grades) - BELOW, max(one.grades) + ABOVE
        shown = [(self._passages[docid], grades[docid]) for docid in (order[i] for i in rng.permutation(depth)[:own])]
        if golden:
            shown[-1] = (self._passages[one.gold[int(rng.integers(len(one.gold)))]], high)
        shown += [(self._stranger(rng), low) for _ in range(strangers)]
        if rng.random() < STUFFED:
            asked = f"{one.query} {one.query}" if rng.random() < 0.5 else f"{one.query}?"
            shown[0 if golden else -1] = (Passage("stuffed", f"{asked} {self._stranger(rng).text}"), low)
        return shown

    def _stranger(self, rng: np.random.Generator) -> Passage:
        """A passage of another list."""
        docids = self._lists[int(rng.integers(len(self._lists)))].docids
        return self._passages[docids[int(rng.integers(len(docids)))]]


def _packed(file: Path) -> Path:
    """The file, or its .gz where only that is there."""
    packed = file.with_name(f"{file.name}.gz")
    return packed if packed.exists() and not file.exists() else file
