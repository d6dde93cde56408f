"""How reproductions went: reproduced, off by so much, or not to be run here and why; and the page that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from firstrank.eval.machine import machine_facts
from firstrank.eval.reproductions import Reproduction


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it went. `found` is empty where it could not be run here, and `reason` says why."""

    reproduction: Reproduction
    found: Mapping[str, float]
    reason: str
    date: str

    @property
    def reproduced(self) -> bool:
        tolerance = self.reproduction.tolerance
        return bool(self.found) and all(abs(self._off(measure)) <= tolerance for measure in self.reproduction.expected)

    @property
    def state(self) -> str:
        """In words."""
        if not self.found:
            return f"cannot run here: {self.reason}"
        off = ", ".join(f"{measure} {self._off(measure):+.4f}" for measure in self.reproduction.expected)
        return f"reproduced ({off})" if self.reproduced else f"off by {off}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.reproduction.name,
            "state": "reproduced" if self.reproduced else "off" if self.found else "cannot run here",
            "expected": dict(self.reproduction.expected),
            "tolerance": self.reproduction.tolerance,
            "source": self.reproduction.source,
            **{name: value for name, value in asdict(self).items() if name != "reproduction"},
        }

    def _off(self, measure: str) -> float:
        return self.found[measure] - self.reproduction.expected[measure]


def page(attempts: Iterable[Attempt]) -> str:
    """All of them, as a Markdown page."""
    facts = machine_facts()
    lines = [
        "# Reproductions",
        "",
        "Published figures, run again with `firstrank reproduce NAME`. This page is generated:",
        "`firstrank reproduce --all --page docs/reproductions.md`.",
        f"Last run on {facts['machine']}, Firstrank {facts['versions'].get('firstrank', '?')}, Python {facts['versions']['python']}.",
        "",
    ]
    by_state: dict[str, list[Attempt]] = {"Reproduced": [], "Off": [], "Cannot run here": []}
    for attempt in attempts:
        by_state["Reproduced" if attempt.reproduced else "Off" if attempt.found else "Cannot run here"].append(attempt)
    for state, group in by_state.items():
        if group:
            lines += [
                f"## {state} ({len(group)})",
                "",
                "| name | what | expected | here | tolerance | state | date | source |",
                "|---|---|---:|---:|---:|---|---|---|",
            ]
            lines += [_row(attempt) for attempt in group] + [""]
    return "\n".join(lines)


def _row(attempt: Attempt) -> str:
    reproduction = attempt.reproduction
    expected = ", ".join(f"{measure} {value:.4f}" for measure, value in reproduction.expected.items())
    found = ", ".join(f"{attempt.found[measure]:.4f}" for measure in reproduction.expected) if attempt.found else "not measured"
    cells = (
        reproduction.name,
        reproduction.description,
        expected,
        found,
        f"{reproduction.tolerance:g}",
        _short(attempt.state),
        attempt.date,
        reproduction.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _short(text: str, characters: int = 160) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
