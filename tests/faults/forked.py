"""Runs commands of `firstrank` in forks of one process that has imported everything, so that one costs a fraction of a second.

`python -m tests.faults.forked` reads one JSON list a line: jobs that run at the same time, each
`{"words": [...], "cache": FOLDER, "said": FILE}`, with `"watched": FILE`, or with
`"at": N, "signal": NUMBER` where the process is to send itself a signal at the N-th call of a function, Python's or C's, in any thread.
It answers with one line each: a list of `{"code": …, "calls": …, "there": [FIRST, LAST], "seconds": …}`, where `there` are the calls
between which the file `"watched"` was there. A negative code is the signal that ended the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from firstrank.__main__ import main


class Calls:
    """Counts calls, and sends this process a signal at one of them."""

    def __init__(self, at: int | None, number: int, watched: str | None) -> None:
        self.count, self.at, self.number, self.watched = 0, at, number, watched
        self.there: list[int] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event.endswith("call"):
            self.count += 1
            if self.watched and self.count % 20 == 0 and os.path.exists(self.watched):  # noqa: PTH110 - the cheapest, thousands of times
                self.there = [*self.there[:1], self.count]
            if self.count == self.at:
                os.kill(os.getpid(), self.number)


def begun(job: dict[str, Any]) -> int:
    """The process that runs one job."""
    if (child := os.fork()) > 0:
        return child
    code = 70
    calls = Calls(job.get("at"), job["signal"], job.get("watched"))
    try:
        with Path(job["said"]).open("wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as in a new process
            signal.signal(number, signal.SIG_DFL)
        os.environ["FIRSTRANK_CACHE"] = job["cache"]
        sys.argv = ["firstrank", *job["words"]]
        threading.setprofile(calls)
        sys.setprofile(calls)
        main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        sys.stderr.flush()
        Path(f"{job['said']}.calls").write_text(json.dumps({"calls": calls.count, "there": calls.there}))
        os._exit(code)


def done(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    started = time.perf_counter()
    left = {begun(job): job for job in jobs}
    found = {}
    while left:
        child, status = os.wait()
        job = left.pop(child)
        counted = Path(f"{job['said']}.calls")
        found[job["said"]] = {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.perf_counter() - started,
            **(json.loads(counted.read_text()) if counted.exists() else {"calls": 0, "there": []}),
        }
        counted.unlink(missing_ok=True)
    return [found[job["said"]] for job in jobs]


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        jobs = json.loads(line)
        if jobs[0].get("warm"):  # here, so that its forks have what it imports
            sys.argv = ["firstrank", *jobs[0]["words"]]
            with suppress(SystemExit):
                main()
            ended = []
        else:
            ended = done(jobs)
        print(json.dumps(ended), file=answers, flush=True)
