"""What was hoped for, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.plan import Row


class Goal(NamedTuple):
    """A figure of one row: at most `most`, or at least `least`."""

    says: str
    table: str
    where: Mapping[str, Any]
    """what stands in the row's other columns"""
    column: str
    most: float | None = None
    least: float | None = None


WINDOW = "one window of 20"
GOALS = (
    Goal(
        "a window of 20 passages of 100 tokens, 0.6B, one client: p95 in ms",
        "latency",
        {"shape": "Qwen3-0.6B", "strategy": WINDOW, "clients": 1},
        "p95 ms",
        most=18,
    ),
    Goal(
        "passages of 100 tokens a second, 0.6B",
        "throughput",
        {"shape": "Qwen3-0.6B", "strategy": WINDOW, "numbers": "bfloat16"},
        "passages/s",
        least=3000,
    ),
    Goal(
        "share of the measured roof, 7B",
        "throughput",
        {"shape": "Mistral-7B", "strategy": WINDOW, "numbers": "bfloat16"},
        "share of roof",
        least=0.45,
    ),
    Goal(
        "the first token's share of generation's median, one client",
        "generation",
        {"clients": 1, "answer": "first token", "shape": "Qwen3-0.6B"},
        "share",
        most=0.4,
    ),
)


def rows(tables: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """One for each goal; what a run did not measure is said to be so."""
    for goal in GOALS:
        wanted = f"at most {goal.most:g}" if goal.most is not None else f"at least {goal.least:g}"
        row = next((one for one in tables.get(goal.table, ()) if goal.where.items() <= one.items()), {})
        if (found := row.get(goal.column)) is None:
            yield {"goal": goal.says, "wanted": wanted, "measured": "not measured"}
            continue
        met = found <= goal.most if goal.most is not None else found >= goal.least
        yield {"goal": goal.says, "wanted": wanted, "measured": found, "met": "yes" if met else "no"}
