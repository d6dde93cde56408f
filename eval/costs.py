"""What a system costs: percentiles of its time a query, and its windows, rounds and tokens. From traces, wherever they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.records import json_lines

TraceObject = Mapping[str, Any]
"""a line of `--trace FILE.jsonl`"""

_SECONDS = ("p50", "p95", "p99", "mean", "lowest", "p25", "p75", "highest")
_PROBABLE = "'nothing_relevant' and the values of 'probabilities' are expected to be probabilities, from 0 to 1"
_NUMBERS = ("rounds", "prompt_tokens", "generated_tokens", "seconds")


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds a query (percentiles, and the spread), and means a query of what they were spent on."""

    queries: int
    p50: float
    p95: float
    p99: float
    mean: float
    lowest: float
    p25: float
    p75: float
    highest: float
    windows: float
    rounds: float
    prompt_tokens: float
    generated_tokens: float
    at_once: int | None = 1
    """queries that were ranked at a time: with more than one, seconds hold the waiting for others. None: the traces do not say"""

    @property
    def alone(self) -> bool:
        """Whether the seconds are a query's own."""
        return self.at_once is None or self.at_once <= 1

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Percentiles that so few queries do not tell: fewer than one of them lies beyond."""
        return tuple(name for name, least in (("p95", 20), ("p99", 100)) if self.queries < least)

    def shown(self, name: str) -> str:
        """A percentile as a table shows it: three digits, marked where it is uncertain; a dash where it is a batch's."""
        return f"{getattr(self, name):.3g}{'*' if name in self.uncertain else ''}" if self.alone else "—"

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self) | {"alone": self.alone, "uncertain": list(self.uncertain)}
        return found if self.alone else found | dict.fromkeys(_SECONDS)


def latency_of(traces: Sequence[TraceObject]) -> Latency:
    """Sums up traces, at least one. Percentiles between two queries are interpolated linearly, as NumPy does."""
    seconds = np.array([trace["seconds"] for trace in traces], np.float64)
    p25, p50, p75, p95, p99 = np.percentile(seconds, [25, 50, 75, 95, 99]).tolist()

    def mean(numbers: Iterable[float]) -> float:
        return float(np.mean(list(numbers)))

    return Latency(
        queries=len(traces),
        p50=p50,
        p95=p95,
        p99=p99,
        mean=float(seconds.mean()),
        lowest=float(seconds.min()),
        p25=p25,
        p75=p75,
        highest=float(seconds.max()),
        windows=mean(len(trace["windows"]) for trace in traces),
        rounds=mean(trace["rounds"] for trace in traces),
        prompt_tokens=mean(trace["prompt_tokens"] for trace in traces),
        generated_tokens=mean(trace["generated_tokens"] for trace in traces),
        at_once=max((int(trace.get("at_once", 0)) for trace in traces), default=0) or None,
    )


def read_traces(path: Path) -> list[dict[str, Any]]:
    """The traces of a file. Raises FormatError for a line that is none, and for an empty file."""
    traces = []
    for number, found in json_lines(path):
        if not isinstance(found.get("windows"), list) or not all(_is_number(found.get(key)) for key in _NUMBERS):
            raise FormatError(
                path, number, f"not a trace: a list 'windows' and numbers {', '.join(_NUMBERS)} are expected (rerank --trace)"
            )
        if found.get("calibrated") and "probabilities" in found and not _is_probable(found):
            raise FormatError(path, number, f"not a trace of a calibrated model: {_PROBABLE}")
        traces.append(found)
    if not traces:
        raise FormatError(path, 1, "no traces: one JSON object a query is expected (rerank --trace)")
    return traces


def _is_probable(trace: TraceObject) -> bool:
    told = trace["probabilities"]
    return isinstance(told, Mapping) and all(_is_number(one) and 0 <= one <= 1 for one in (trace.get("nothing_relevant"), *told.values()))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
