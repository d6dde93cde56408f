"""A service under mixed load for an hour: what grows, and whether every request is answered.

    python -m benchmarks.soak [--seconds 3600] [--clients 8] [--every 1.0] [--model FOLDER]

`firstrank serve` runs on loopback with one scorer thread and a tiny model. Clients send small, usual and large requests in several
shapes, wrong bodies and wrong keys, ask for a model that comes and goes, and leave before they are answered. Meanwhile keys are
changed and read again, and the second model is taken away and loaded anew, all the time. Prints a JSON document; exit code 1 where
memory, open files or threads grew, or a request was left without an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.arguments import parser_of
from benchmarks.memory import resident
from benchmarks.service import request
from tests.conftest import make_tiny_model
from tests.server.serving import Live, figure, live

GROWTH_MB = 50
"""MiB that memory may be larger by in the last quarter than in the second: the first is the warming up"""
FILES, THREADS = 16, 8
"""more of them than in the second quarter: a connection that closes, a model that is being loaded"""
KINDS = {"small": 30, "usual": 25, "large": 3, "texts": 15, "second": 10, "wrong": 7, "no key": 4, "leaves": 6}
"""kind of request -> its share"""


@dataclass(frozen=True)
class Sample:
    """What a process holds at one moment."""

    at: float
    memory: float
    files: int
    threads: int

    @classmethod
    def of(cls, process: int, at: float) -> Sample:
        folder = Path(f"/proc/{process}")
        return cls(at, resident(process), len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir())))


@dataclass
class Place:
    """The files that the service reads again when it is told to."""

    folder: Path
    model: str
    turn: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "serve.yaml"

    def write(self, *, second: bool) -> None:
        """Keys of this turn, and one model or two."""
        _put(self.folder / "keys", f"kept name=kept\nkey-{self.turn} name=turning\n")
        served = {"default": {"source": self.model}} | ({"second": {"source": self.model}} if second else {})
        _put(self.config, json.dumps({"model": served, "api_keys_file": str(self.folder / "keys"), "threads": 1}))  # JSON is YAML


@dataclass
class Soak:
    """One run: what was asked, what came, what the service held."""

    server: Live
    place: Place
    seconds: float
    statuses: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0
    started: float = field(default_factory=time.perf_counter)

    async def run(self, clients: int, every: float) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(every))
            group.create_task(self._change(every))
            for seed in range(clients):
                group.create_task(self._client(random.Random(seed)))

    @property
    def _now(self) -> float:
        return time.perf_counter() - self.started

    async def _watch(self, every: float) -> None:
        while self._now < self.seconds:
            self.samples.append(Sample.of(self.server.process.pid, self._now))
            await asyncio.sleep(every)

    async def _change(self, every: float) -> None:
        """Other keys, and the second model goes or comes, by SIGHUP."""
        while self._now < self.seconds:
            await asyncio.sleep(2 * every)
            self.place.turn += 1
            self.place.write(second=self.place.turn % 2 == 0)
            self.server.process.send_signal(signal.SIGHUP)
            self.reloads += 1

    async def _client(self, draw: random.Random) -> None:
        async with httpx.AsyncClient(base_url=self.server.url, timeout=600) as client:
            while self._now < self.seconds:
                [kind] = draw.choices(list(KINDS), list(KINDS.values()))
                self.statuses[f"{kind}: {await self._answer(client, kind, draw)}"] += 1

    async def _answer(self, client: httpx.AsyncClient, kind: str, draw: random.Random) -> str:
        asked: dict[str, Any] = request(draw.randrange(10_000), documents={"small": 2, "large": 300}.get(kind, 20))
        if kind == "texts":
            asked = {"query": asked["query"], "texts": asked["documents"]}
        if kind == "wrong":
            asked |= draw.choice([{"top_n": "many"}, {"documents": []}, {"query": None}, {"strategy": "bubble"}])
        if kind == "second":
            asked["model"] = "second"
        key = "none" if kind == "no key" else draw.choice(["kept", "kept", f"key-{self.place.turn}"])
        try:
            answer = await client.post(
                "/rerank", json=asked, headers={"authorization": f"Bearer {key}"}, timeout=0.003 if kind == "leaves" else 600
            )
        except httpx.TimeoutException:
            return "left" if kind == "leaves" else "unanswered"
        except httpx.TransportError as error:
            return f"unanswered ({type(error).__name__})"
        return str(answer.status_code)

    def report(self) -> dict[str, Any]:
        metrics = httpx.get(f"{self.server.url}/metrics", timeout=600, headers={"authorization": "Bearer kept"}).text
        settled = self.samples[len(self.samples) // 5 :]
        before, after = _quarter(self.samples, 1), _quarter(self.samples, 3)
        found: dict[str, Any] = {
            "seconds": round(self._now),
            "requests": self.statuses.total(),
            "answers": dict(sorted(self.statuses.items())),
            "reloads": self.reloads,
            "memory_mb_per_hour": round(3600 * _slope(settled), 2),
            "memory_mb_by_quarters": [round(max(one.memory for one in _quarter(self.samples, place))) for place in range(4)],
            "files": [max(one.files for one in before), max(one.files for one in after)],
            "threads": [max(one.threads for one in before), max(one.threads for one in after)],
            "left_inside": figure(metrics, "firstrank_requests_inside"),
            "errors_in_the_log": [line.strip() for line in self.server.log if '"level": "error"' in line or "Traceback" in line],
        }
        return found | {"faults": faults(found)}


def faults(found: dict[str, Any]) -> list[str]:
    """What a service must not do."""
    quarters, (files, more_files), (threads, more_threads) = found["memory_mb_by_quarters"], found["files"], found["threads"]
    failed = {kind: count for kind, count in found["answers"].items() if "unanswered" in kind or ": 5" in kind.replace(": 503", "")}
    checks = {
        f"memory grew from {quarters[1]} to {quarters[3]} MB": quarters[3] - quarters[1] > GROWTH_MB,
        f"open files grew from {files} to {more_files}": more_files > files + FILES,
        f"threads grew from {threads} to {more_threads}": more_threads > threads + THREADS,
        f"without a good answer: {failed}": bool(failed),
        f"requests left inside: {found['left_inside']}": found["left_inside"] > 0,
        f"errors in the log: {found['errors_in_the_log'][:3]}": bool(found["errors_in_the_log"]),
    }
    return [said for said, is_fault in checks.items() if is_fault]


def _put(path: Path, text: str) -> None:
    """Whole or not at all, for it may be read at any moment."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def _quarter(samples: Sequence[Sample], place: int) -> Sequence[Sample]:
    size = max(1, len(samples) // 4)
    return samples[min(place * size, len(samples) - 1) :][:size]


def _slope(samples: Sequence[Sample]) -> float:
    """MiB a second, by least squares; 0 where there is nothing to see."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression([one.at for one in samples], [one.memory for one in samples]).slope


def main(words: Sequence[str] | None = None) -> int:
    parser = parser_of("soak", __doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at the process; keys change every second time")
    parser.add_argument("--model")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        place = Place(Path(folder), options.model or str(make_tiny_model(Path(folder) / "model")))
        place.write(second=True)
        with live("--config", str(place.config), env={"HF_HUB_OFFLINE": "1"} | dict(os.environ)) as server:
            soak = Soak(server, place, options.seconds)
            asyncio.run(soak.run(options.clients, options.every))
            found = soak.report()
    print(json.dumps(found, indent=2))
    return int(bool(found["faults"]))


if __name__ == "__main__":
    sys.exit(main())
