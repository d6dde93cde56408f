"""Whether every example fits the recipe, in the largest shape that it will ever be drawn in; said before the first step."""

from __future__ import annotations

from functools import cache

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.types import Passage, Request
from firstrank.training.config import Config
from firstrank.training.losses import EXPONENTIAL
from firstrank.training.samples.draw import most_drawn
from firstrank.training.samples.examples import Example, Examples

_FULL = "word " * 40
"""a passage that is longer than what a window must leave of one"""
GRADE = 30.0
"""above it, gains of 2^grade are no numbers to learn from"""


def check_fit(config: Config, model: Model, examples: Examples) -> None:
    """Raises InputError that names the line of an example with a query too long, with more passages than there are labels or room, with
    grades that the loss cannot bear, or without the scores that it asks for."""
    fits = _Fit(config, model)
    for i in range(len(examples)):
        try:
            fits.check(examples[i])
        except InputError as error:
            raise InputError(f"{examples.where(i)}: {error}") from error


class _Fit:
    def __init__(self, config: Config, model: Model) -> None:
        self._config, self._prompter = config, model.prompter
        self._rank = config.loss.rank
        self._is_ranked = self._rank.weight.ever or config.loss.probe.weight > 0
        self._beyond_frame = cache(self._beyond)

    def check(self, example: Example) -> None:
        n = most_drawn(example, self._config.draw)
        if not self._has_room(example.query, n):
            self._encode(example, n)
        if self._rank.targets == "scores" and example.scores is None:
            raise InputError(f"query {example.qid!r}: loss.rank.targets=scores, but the example has no 'scores'")
        targets = example.scores if self._rank.targets == "scores" and example.scores else example.grades
        if self._is_ranked and self._rank.name in EXPONENTIAL and max(targets) > GRADE:
            raise InputError(
                f"query {example.qid!r}: a grade of {max(targets):g}, but {self._rank.name} gains 2^grade - 1 by it: {GRADE:g} at most; "
                "scale the grades down, or use a loss that compares them, such as listnet"
            )

    def _has_room(self, query: str, n: int) -> bool:
        """Quickly: with n passages all long. False may still fit, with passages that are short."""
        if n > len(self._prompter.identifiers):
            return False
        head, tail = self._prompter.frame(n, query)
        return len(head) + len(tail) + self._beyond_frame(n) <= self._prompter.context

    def _beyond(self, n: int) -> int:
        """Tokens of a window of n but for its frame, each passage at the least that may be left of it."""
        least = 16
        parts = self._prompter.encode(Request("", (Passage("", _FULL),) * min(n, 2), ""))
        head, tail = self._prompter.frame(n, "")
        return parts.fixed(n) - len(head) - len(tail) + least * n

    def _encode(self, example: Example, n: int) -> None:
        own = sorted(example.passages, key=lambda passage: len(passage.text), reverse=True)[:n]
        filled = (*own, *[Passage(f"another query's {i}", _FULL) for i in range(n - len(own))])
        check_room(self._prompter.encode(Request(example.query, tuple(filled), example.qid)).max_window, n, example.qid, self._prompter)


def check_room(room: int, n: int, qid: str, prompter: Prompter) -> None:
    """Raises InputError where a window of n is more than there is room for."""
    if n <= room:
        return
    labels, context = len(prompter.identifiers), prompter.context
    why = f"the tokenizer has {labels} labels" if n > labels else f"the context of {context} tokens has room for {room}"
    raise InputError(f"query {qid!r}: {n} passages in one window, but {why}; say draw.window=[2, {min(room, 20)}]")
