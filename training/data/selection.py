"""What was kept and what was dropped, and why: counted, with the first few named."""

from __future__ import annotations

from collections import Counter
from typing import Any

_NAMED = 3


class Selection:
    """Counts of a builder or a check."""

    def __init__(self) -> None:
        self.kept = 0
        self._dropped: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def keep(self) -> None:
        self.kept += 1

    def drop(self, why: str, what: str) -> None:
        self._dropped[why] += 1
        named = self._named.setdefault(why, [])
        if len(named) < _NAMED:
            named.append(what)

    @property
    def dropped(self) -> int:
        return self._dropped.total()

    def report(self) -> dict[str, Any]:
        """{"kept", "dropped", "reasons": {why: {"count", "first"}}}"""
        reasons = {why: {"count": count, "first": self._named[why]} for why, count in self._dropped.most_common()}
        return {"kept": self.kept, "dropped": self.dropped, "reasons": reasons}
