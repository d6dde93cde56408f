"""A batch on disk, commands over it that cost little, and what each test tells of its fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.reranker.commands.batch import Batch, Terminal

ROOT = Path(__file__).parents[2]


class Twelve(Batch):
    """Twelve queries, so that a run has many moments."""

    QUERIES, DEPTH = 12, 30


@dataclass(frozen=True)
class Done:
    """How a command ended; `calls` is how many functions it called, and `there` says between which of them the watched file was there."""

    code: int
    calls: int
    there: list[int]
    seconds: float
    said: str


class Parent:
    """The process that forks: see tests/faults/forked.py."""

    def __init__(self, cache: Path) -> None:
        environment = os.environ | {"FIRSTRANK_CACHE": str(cache), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.faults.forked"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(jobs) + "\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Forks:
    """Commands, each in a fork."""

    parent: Parent
    folder: Path
    cache: Path

    def run(self, *words: str, **more: Any) -> Done:
        [ended] = self.at_once([words], **more)
        return ended

    def at_once(
        self, commands: Sequence[Sequence[str]], *, at: int | None = None, number: int = signal.SIGKILL, watched: Path | None = None
    ) -> list[Done]:
        """Ends when all have ended. A signal comes at a call; `watched` is a file."""
        more = {"at": at, "signal": number, "watched": watched and str(watched)}
        said = [self.folder / f"said-{place}" for place in range(len(commands))]
        jobs = [{"words": words, "said": str(file), "cache": str(self.cache)} | more for words, file in zip(commands, said, strict=True)]
        return [Done(said=file.read_text(), **one) for one, file in zip(self.parent.ask(jobs), said, strict=True)]


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "batch").mkdir()
    return Twelve(tmp_path / "batch").write()


@pytest.fixture(scope="session")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parent]:
    """It has run a batch already, and so imported what that takes."""
    folder = tmp_path_factory.mktemp("warm")
    found = Parent(folder)
    try:
        found.ask([{"words": Twelve(folder).write().arguments(), "warm": True}])
        yield found
    finally:
        found.close()


@pytest.fixture
def forks(parent: Parent, tmp_path: Path) -> Forks:
    (tmp_path / "said").mkdir()
    return Forks(parent, tmp_path / "said", tmp_path / "cache")


@pytest.fixture
def firstrank(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capfd)


@pytest.fixture
def tells(record_property: Any) -> Any:
    """Notes for the table of docs/reliability.md: how many tries, what was lost, seconds to recover."""

    def tell(tries: int, lost: int = 0, seconds: float | None = None) -> None:
        for name, value in (("tries", tries), ("lost", lost), ("seconds", seconds)):
            if value is not None:
                record_property(name, value)

    return tell
