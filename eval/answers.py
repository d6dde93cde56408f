"""How well a generating model answers: the share of orderings that were well formed, and what was wrong with the others.

Read from traces: what a window's answer needed mended stands in its notes (see `firstrank.reranker.prompt.orderings`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from firstrank.eval.costs import TraceObject
from firstrank.reranker.prompt.orderings import Faults


@dataclass(frozen=True, slots=True)
class Responses:
    """Shares are of windows; counts are of identifiers, over all windows."""

    windows: int
    well_formed: float
    with_repeated: float
    with_missing: float
    with_foreign: float
    identifiers: int
    """that complete answers would have named"""
    repeated: int
    missing: int
    foreign: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def responses_of(traces: Iterable[TraceObject]) -> Responses | None:
    """Sums up the answers of a system that generates orderings; None for one that reads the first token's logits.

    A model that generated no more than a token a window did not write orderings.
    """
    windows = [(trace, window) for trace in traces if _generates(trace) for window in trace["windows"]]
    if not windows:
        return None
    faults = [_faults(trace, window) for trace, window in windows]

    def share(which: Iterable[bool]) -> float:
        return sum(which) / len(windows)

    return Responses(
        windows=len(windows),
        well_formed=share(found.well_formed for found in faults),
        with_repeated=share(found.repeated > 0 for found in faults),
        with_missing=share(found.missing > 0 for found in faults),
        with_foreign=share(found.foreign > 0 for found in faults),
        identifiers=sum(len(window["docids"]) for _, window in windows),
        repeated=sum(found.repeated for found in faults),
        missing=sum(found.missing for found in faults),
        foreign=sum(found.foreign for found in faults),
    )


def _generates(trace: TraceObject) -> bool:
    return bool(trace["generated_tokens"] > len(trace["windows"]))


def _faults(trace: TraceObject, window: dict[str, Any]) -> Faults:
    """What one answer needed; a request of one window says it in the request's notes too."""
    notes = window.get("notes") or (trace.get("notes", ()) if len(trace["windows"]) == 1 else ())
    return next((found for note in notes if (found := Faults.in_note(note))), Faults(0, 0, 0))
