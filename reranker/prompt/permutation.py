"""A generated ordering, `[3] > [1] > [2]`, read and repaired; what had to be repaired is counted, never hidden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_BRACKETED = re.compile(r"\[\s*([0-9A-Za-z]+)\s*\]")
_BARE = re.compile(r"(?:^|>)\s*([0-9A-Za-z]+)\s*(?=>|$)")


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


def parse(answer: str, identifiers: Sequence[str]) -> Parsed:
    """Reads an answer over `identifiers`: the first mention of each counts; those never named follow in the order of the window."""
    place_of = {identifier: place for place, identifier in enumerate(identifiers)}
    named = _BRACKETED.findall(answer) or _BARE.findall(answer)
    known = [place_of[name] for name in named if name in place_of]
    first = list(dict.fromkeys(known))
    absent = [place for place in range(len(identifiers)) if place not in set(first)]
    faults = Faults(repeated=len(known) - len(first), missing=len(absent), foreign=len(named) - len(known))
    return Parsed((*first, *absent), faults)
