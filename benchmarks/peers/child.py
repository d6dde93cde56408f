"""A system in a process of its own: it loads once, and ranks some of its requests whenever it is asked. Both ends of the pipe.

A line on its standard input says which of the requests to rank, as START STOP; a line of JSON on its standard output is the answer;
whatever its libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

READY = "ready"


@dataclass(frozen=True, slots=True)
class Round:
    """What ranking requests once took, and gave."""

    seconds: float
    windows: int
    prompt_tokens: int
    orders: Mapping[str, Sequence[str]]
    """qid -> docids, best first"""


Rank = Callable[[int, int], Round]
"""the requests from one place to before another, ranked"""


def serve(load: Callable[[], Rank]) -> None:
    """Loads, says that it is ready, then ranks as often as it is asked to, until its input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    rank = load()
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(rank(*map(int, line.split())))), file=answers, flush=True)


class Child:
    """A system that is loaded. Raises RuntimeError, with where its log is, when its process has ended."""

    def __init__(self, module: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        started = time.perf_counter()
        self._log = log
        with log.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=os.environ | environment,
            )
        self._read()
        self.start = time.perf_counter() - started
        """seconds, to the moment when it is loaded"""

    def rank(self, start: int, stop: int) -> Round:
        """The requests from `start` to before `stop`."""
        assert self._process.stdin is not None
        print(start, stop, file=self._process.stdin, flush=True)
        return Round(**json.loads(self._read()))

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise RuntimeError(f"{self._process.args}: ended; its log is {self._log}")
