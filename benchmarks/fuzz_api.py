"""Thousands of requests, valid and not, against the service: no failure of the service, no answer that comes late, no memory that is kept.

    python -m benchmarks.fuzz_api [--requests 10000] [--deadline 30] [--growth-mb 50] [--model FOLDER]

schemathesis makes the requests from the service's own description (valid ones and invalid ones in turn) and holds each answer to it;
`firstrank serve` runs on loopback, with a tiny model unless another is named, on one thread. Prints a JSON document: how often each status
came, the slowest answer, and the service's resident memory once it is warm and at the end. Ends with 1 where a bound does not hold.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import schemathesis

from benchmarks.arguments import parser_of
from benchmarks.memory import resident
from tests.conftest import make_tiny_model
from tests.server.serving import live
from tests.server.test_schema import explore

_WARM = 0.1
"""the share of the requests after which memory is read first"""


class Watch:
    """The slowest answer, and the memory of a process when it is warm."""

    def __init__(self, process: int, warm: int) -> None:
        self.slowest, self.answers, self.before = 0.0, 0, resident(process)
        self._process, self._warm = process, warm

    def answered(self, seconds: float) -> None:
        self.answers += 1
        self.slowest = max(self.slowest, seconds)
        if self.answers == self._warm:
            self.before = resident(self._process)


def main(words: Sequence[str] | None = None) -> int:
    parser = parser_of("fuzz_api", __doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="about so many")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds that an answer may take")
    parser.add_argument("--growth-mb", type=float, default=50.0)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_tiny_model(Path(folder))
        with live("--model", f"default={model}", "--threads", "1") as server:
            watch = Watch(server.process.pid, max(1, int(_WARM * options.requests)))
            statuses = explore(server.url, max(1, round(options.requests / (2 * _posts(server.url)))), watch.answered)
            after = resident(server.process.pid)
            errors = [line for line in server.log if '"level": "error"' in line]
    found = {
        "requests": statuses.total(),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "slowest_seconds": round(watch.slowest, 3),
        "resident_mb": [round(watch.before, 1), round(after, 1)],
        "errors_in_log": len(errors),
    }
    print(json.dumps(found))
    held = not errors and watch.slowest <= options.deadline and after - watch.before <= options.growth_mb
    return int(not held)


def _posts(url: str) -> int:
    """The operations that documents are posted to; valid and invalid requests of each are tried."""
    found = schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()
    return sum((operation := one.ok()).method == "post" and operation.path != "/admin/reload" for one in found)


if __name__ == "__main__":
    sys.exit(main())
