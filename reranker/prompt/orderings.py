"""The language of complete orderings, as token ids: `[3] > [1] > [2]`, each identifier once, and nothing after.

A generating baseline that is held to this language emits exactly one complete ordering and stops, on any engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Tokens = tuple[int, ...]


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
