"""Orderings, `[3] > [1] > [2]`: the language of complete ones, as token ids, and the reading of what a model wrote.

A generating baseline that is held to the language emits each identifier once and then stops, on any engine. One that writes freely
is read and repaired, and what had to be repaired is counted, never hidden.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Tokens = tuple[int, ...]

_THOUGHT = "</think>"
"""after it comes the answer of a model that thinks aloud"""
_BRACKETED = re.compile(r"\[\s*([0-9A-Za-z]+)\s*\]")
_BARE = re.compile(r"(?:^|>)\s*([0-9A-Za-z]+)\s*(?=>|$)")


@dataclass(frozen=True, slots=True)
class Ordering:
    """`first[i]` spells identifier i at the head of an answer, `later[i]` with the separator before it."""

    first: tuple[Tokens, ...]
    later: tuple[Tokens, ...]

    def upto(self, n: int) -> Ordering:
        """The language of the first n identifiers."""
        return Ordering(self.first[:n], self.later[:n])

    @property
    def longest(self) -> int:
        """Tokens of the longest complete ordering."""
        gains = [len(first) - len(later) for first, later in zip(self.first, self.later, strict=True)]
        return sum(map(len, self.later)) + max(gains)

    def allowed(self, generated: Sequence[int]) -> list[int]:
        """The tokens that may follow; none where the ordering is complete. ValueError for what is no prefix of an ordering."""
        used: set[int] = set()
        rest = tuple(generated)
        while len(used) < len(self.first):
            spelled = self.later if used else self.first
            left = [i for i in range(len(spelled)) if i not in used]
            done = next((i for i in left if rest[: len(spelled[i])] == spelled[i]), None)
            if done is None:
                following = {spelled[i][len(rest)] for i in left if spelled[i][: len(rest)] == rest and len(rest) < len(spelled[i])}
                if not following:
                    raise ValueError(f"{rest} does not begin any identifier that is left")
                return sorted(following)
            used.add(done)
            rest = rest[len(spelled[done]) :]
        if rest:
            raise ValueError(f"{rest} follows a complete ordering")
        return []


class Walk:
    """A way through an ordering's language, as an engine generates: `allowed` without reading from the beginning each time."""

    def __init__(self, ordering: Ordering) -> None:
        self._ordering = ordering
        self._left = set(range(len(ordering.first)))
        self._read = 0
        """tokens of the identifiers that are complete"""

    def allowed(self, generated: Sequence[int]) -> list[int]:
        """The tokens that may follow all that was generated so far; none where the ordering is complete."""
        while self._left:
            spelled = self._ordering.later if self._read else self._ordering.first
            rest = tuple(generated[self._read :])
            fitting = [i for i in self._left if spelled[i][: len(rest)] == rest[: len(spelled[i])]]
            done = next((i for i in fitting if len(spelled[i]) <= len(rest)), None)
            if done is None:
                if not fitting:
                    raise ValueError(f"{rest} does not begin any identifier that is left")
                return sorted({spelled[i][len(rest)] for i in fitting})
            self._left.remove(done)
            self._read += len(spelled[done])
        return []


class Faults(NamedTuple):
    """What was wrong with an answer, in identifiers."""

    repeated: int
    missing: int
    foreign: int

    @property
    def well_formed(self) -> bool:
        return not any(self)

    def __str__(self) -> str:
        return f"answer repaired: {self.repeated} repeated, {self.missing} missing, {self.foreign} foreign"

    @classmethod
    def in_note(cls, note: str) -> Faults | None:
        """The faults that a trace's note tells of; None for another note."""
        found = re.fullmatch(r"answer repaired: (\d+) repeated, (\d+) missing, (\d+) foreign", note)
        return cls(*map(int, found.groups())) if found else None


class Parsed(NamedTuple):
    """Places in the window, best first, each once; and what had to be mended for that."""

    order: tuple[int, ...]
    faults: Faults

    @property
    def values(self) -> tuple[float, ...]:
        """A score for each place: the last gets 1, the first as many as there are."""
        rank = {place: rank for rank, place in enumerate(self.order)}
        return tuple(float(len(self.order) - rank[place]) for place in range(len(self.order)))


def after_thought(text: str) -> str:
    """What a model wrote after its thoughts; nothing, where they did not end."""
    return text.rpartition(_THOUGHT)[2] if _THOUGHT in text else ""


def parse(answer: str, identifiers: Sequence[str]) -> Parsed:
    """Reads an answer over `identifiers`: the first mention of each counts; those never named follow in the order of the window."""
    place_of = {identifier: place for place, identifier in enumerate(identifiers)}
    named = _BRACKETED.findall(answer) or _BARE.findall(answer)
    known = [place_of[name] for name in named if name in place_of]
    first = list(dict.fromkeys(known))
    absent = [place for place in range(len(identifiers)) if place not in set(first)]
    faults = Faults(repeated=len(known) - len(first), missing=len(absent), foreign=len(named) - len(known))
    return Parsed((*first, *absent), faults)
