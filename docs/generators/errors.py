"""The errors' reference: each class with its words and its exit code, each HTTP status with its type."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from docs.generators.tables import code, table
from firstrank.reranker.errors import FirstrankError
from firstrank.server.errors import TYPES


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


def http_page() -> str:
    return table(("status", "`type`", "in words"), [(str(status), code(kind), _phrase(status)) for status, kind in TYPES.items()])


def _phrase(status: int) -> str:
    return "The client left before the answer" if status == 499 else HTTPStatus(status).phrase
