"""The errors' reference: each class with its words and its exit code, each type of the service's errors with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from docs.generators.tables import code, table
from firstrank.reranker.errors import FirstrankError


def classes(root: type[FirstrankError] = FirstrankError, depth: int = 0) -> Iterator[tuple[type[FirstrankError], int]]:
    """Each error that is raised on purpose, below the one that it is a kind of."""
    yield root, depth
    for kind in root.__subclasses__():
        if kind.__module__ == FirstrankError.__module__:
            yield from classes(kind, depth + 1)


def page() -> str:
    return table(
        ("error", "exit code", "what"),
        [(f"{'… ' * depth}{code(one.__name__)}", str(one.exit_code), (one.__doc__ or "").splitlines()[0]) for one, depth in classes()],
    )


class HttpError(BaseModel):
    """One row of errors.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    status: int
    when: str
    mend: str


def http_errors() -> dict[str, HttpError]:
    """By its `type`."""
    found = yaml.safe_load((Path(__file__).parent / "errors.yaml").read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, HttpError]).validate_python(found)


def http_page() -> str:
    columns = ("status", "`type`", "when", "what to do")
    return table(columns, [(str(one.status), code(kind), one.when, one.mend) for kind, one in http_errors().items()])
