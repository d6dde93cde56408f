"""The table of faults: what was broken on purpose, what happens then, how often it was tried, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from docs.generators.tables import table

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "benchmarks/results/faults.json"


class Fault(BaseModel):
    """One row of faults.yaml; `make` is the suite that runs the test."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fault: str
    then: str
    test: str
    make: str = "test"


class Measured(BaseModel):
    """What came of a test: its tries, what they lost, seconds to recover, and seconds of the whole test."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tries: int
    lost: int
    seconds: float | None = None
    test_seconds: float


def rows() -> list[Fault]:
    found = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text(encoding="utf-8"))
    return TypeAdapter(list[Fault]).validate_python(found)


def measured() -> dict[str, Measured]:
    """By test."""
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {"tests": {}}
    return TypeAdapter(dict[str, Measured]).validate_python(found["tests"])


def page() -> str:
    figures = measured()
    columns = ("what was broken", "what happens", "tries", "lost", "seconds to recover", "test")
    return table(columns, [(row.fault, row.then, *_figures(figures.get(row.test)), _test(row)) for row in rows()])


def _figures(found: Measured | None) -> tuple[str, str, str]:
    if found is None:
        return ("not measured",) * 3
    seconds = f"{found.seconds:.1f}" if found.seconds is not None else f"under {max(found.test_seconds, 0.1):.1f} (whole test)"
    return str(found.tries), str(found.lost or "nothing"), seconds


def _test(row: Fault) -> str:
    file, *_, name = row.test.split("::")
    suite = "" if row.make == "test" else f" (`make {row.make}`)"
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{file}){suite}"
