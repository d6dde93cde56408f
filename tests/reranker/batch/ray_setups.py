"""Setups for workers on Ray: what they do there is plain to see."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firstrank.reranker.errors import EngineLost, InputError
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.schedule import Schedule
from tests.reranker.fakes import FakeScorer


@dataclass(frozen=True)
class Faulty(Setup):
    """Scores a passage by the number that its text is; what happens to query `qid` is told by `fault`.

    `folder` counts: a file `opened…` for each Reranker made, a file `scored…` for each window that held `qid`.
    """

    folder: str = ""
    qid: str = ""
    fault: str = ""

    def open_scorer(self) -> tuple[Scorer, Schedule]:
        self._count("opened")
        if self.fault == "no model":
            raise InputError("there is no such model")
        hook: Callable[[str, list[str]], None] = self._hook
        return FakeScorer(hook=hook, max_windows=1, seconds=0.005), Schedule("full")

    def _hook(self, qid: str, texts: list[str]) -> None:
        if qid != self.qid:
            return
        first = self._count("scored") == 1
        if self.fault == "fails":
            raise OddError(qid, 3)
        if self.fault == "lost always" or (self.fault == "lost once" and first):
            raise EngineLost("the GPU fell off the bus")
        if self.fault == "killed once" and first:
            os.kill(os.getpid(), signal.SIGKILL)

    def _count(self, what: str) -> int:
        (Path(self.folder) / f"{what}-{os.getpid()}-{os.urandom(4).hex()}").touch()
        return len(list(Path(self.folder).glob(f"{what}*")))


class OddError(Exception):
    """An error that does not survive pickling: its arguments are not its message's."""

    def __init__(self, qid: str, tries: int) -> None:
        super().__init__(f"query {qid!r} failed {tries} times")
