"""Passages on disk, by docid: one SQLite file, written once, then only read.

A store is built beside its place and moved there when it is whole, so that a killed process leaves no half of one, and two
that build the same store at once do not disturb each other. What it takes of memory does not depend on its size.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import MachineError
from firstrank.reranker.types import Passage

_SCHEMA = "CREATE TABLE passages (docid TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL); CREATE TABLE about (facts TEXT NOT NULL)"
_QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -8192"
_DAY = 24 * 3600.0
_KEPT = 30 * _DAY


class TextStore:
    """A store that is whole. Safe to use from several threads; pickles as its path (for workers that share a disk)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises MachineError for a file that is not a whole store."""
        self.path = Path(path)
        self._lock = threading.Lock()
        with _faults(self.path):
            self._connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
            [facts] = self._connection.execute("SELECT facts FROM about").fetchone() or [None]
        if facts is None:
            raise MachineError(f"{self.path}: not a whole text store; delete it")
        self.facts: dict[str, Any] = json.loads(facts)

    def get(self, docids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those `docids` that are stored."""
        found = {}
        with self._lock, _faults(self.path):
            for docid in docids:
                row = self._connection.execute("SELECT docid, text, title FROM passages WHERE docid = ?", (docid,)).fetchone()
                if row is not None:
                    found[docid] = Passage(*row)
        return found

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __reduce__(self) -> tuple[type[TextStore], tuple[Path]]:
        return TextStore, (self.path,)


def build(path: Path, batches: Iterable[Sequence[Passage]], facts: Callable[[], dict[str, Any]]) -> None:
    """Writes all passages (no docid twice) to a store at `path`, which then holds what `facts` returns at the end.

    Raises MachineError, naming the path, where the disk is full or the folder cannot be written.
    """
    _make_room(path.parent)
    part = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
    try:
        with _faults(path):
            connection = sqlite3.connect(part, isolation_level=None)
        try:
            _fill(path, connection, batches, facts)
        finally:
            connection.close()
        with _faults(path):
            _sync(part)
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def _fill(path: Path, connection: sqlite3.Connection, batches: Iterable[Sequence[Passage]], facts: Callable[[], dict[str, Any]]) -> None:
    with _faults(path):
        connection.executescript(_QUICK)
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
    for batch in batches:
        with _faults(path):
            connection.executemany("INSERT INTO passages VALUES (?, ?, ?)", [(p.docid, p.title, p.text) for p in batch])
    with _faults(path):
        connection.execute("CREATE UNIQUE INDEX by_docid ON passages (docid)")
        connection.execute("INSERT INTO about VALUES (?)", (json.dumps(facts()),))
        connection.execute("COMMIT")


def _make_room(folder: Path) -> None:
    """Makes the folder, and clears it of stores that nothing read for a month and of parts that a killed process left."""
    with _faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for file in folder.iterdir():
        with suppress(OSError):
            if now - file.stat().st_mtime > (_DAY if file.suffix == ".part" else _KEPT):
                file.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        raise MachineError(f"{path}: the store of texts cannot be used: {error} (FIRSTRANK_CACHE names another place)") from error
