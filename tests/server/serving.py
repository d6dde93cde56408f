"""A service to test: in this process over a scorer that is plain to see, or as `firstrank serve` on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest.mock
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.app import create_app
from firstrank.server.registry import WARM_UP
from firstrank.server.run import Server, listen
from firstrank.server.settings import load_settings
from tests.reranker.fakes import FakeScorer

SERVE = [sys.executable, "-c", "from firstrank.reranker.cli import main; main()", "serve"]


def in_loop(test: Callable) -> Callable:
    """An async test, run to its end."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return asyncio.run(test(*args, **kwargs))

    return run


@contextlib.asynccontextmanager
async def serving(scorer=None, *, openers=None, ready=True, failed=lambda error: None, **settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; `client.app` is the application.

    Without the garbage collection that follows a load: over all that a test process holds it takes longer than most tests, and tells
    nothing here. `threaded` and `live` have it.
    """
    scorer = scorer or FakeScorer()
    app = create_app(load_settings(**settings), openers or {"default": lambda: (scorer, Schedule())}, failed=failed)
    with unittest.mock.patch("firstrank.server.registry._settle"):
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
        ):
            client.app = app
            models = app.state.service.registry.models.values()
            while ready and not app.state.service.registry.ready:
                assert not any(model.problem for model in models), [model.problem for model in models]
                await asyncio.sleep(0.001)
            yield client


@contextlib.contextmanager
def threaded(openers=None, **settings) -> Iterator[str]:
    """The service as `firstrank serve` runs it, on a thread of this process; gives its address."""
    openers = openers or {"default": lambda: (FakeScorer(), Schedule())}
    found = load_settings(**{"port": 0} | settings)
    server = Server(found, lambda: load_settings(**{"port": 0} | settings), openers)
    with listen(found) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        name = listening.getsockname()
        url = f"unix:{name}" if isinstance(name, str) else f"http{'s' if found.tls_cert else ''}://{name[0]}:{name[1]}"
        try:
            deadline = time.monotonic() + 600
            while not (server.started and server.app.state.service.registry.ready):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join(20)


def body(*texts: str, **more) -> dict:
    return {"query": "which number is largest?", "documents": list(texts)} | more


def figure(metrics: str, name: str) -> float:
    """The sum of a metric's samples: `firstrank_rejections_total{reason="overloaded"}`, or all of a bare name."""
    pattern = re.escape(name) + (r" " if "{" in name else r"(?:\{[^}]*\})? ") + r"([-+\d.e]+)"
    return sum(float(value) for value in re.findall("^" + pattern, metrics, re.M))


class Slow:
    """Holds every window until it is let go."""

    def __init__(self, **options) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.scorer = FakeScorer(hook=self._hook, max_windows=1, **options)

    def _hook(self, qid: str, texts: list[str]) -> None:
        if qid == WARM_UP.qid:
            return
        self.started.set()
        assert self.gate.wait(300)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.contextmanager
def live(*flags: str, env: dict[str, str] | None = None, wait: bool = True, files: int | None = None) -> Iterator[Live]:
    """`firstrank serve` on a free port of loopback; with `files`, it may have no more descriptors."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **(env or {})}
    command = [*SERVE, "--port", "0", *flags]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    server = Live(process)
    try:
        server.find_address()
        if wait:
            server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        server.reader.join(5)


class Live:
    """A running service: its address, its process, its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.url, self.log = process, "", []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def find_address(self) -> None:
        self._wait(lambda: any('"listening"' in line for line in self.log))
        self.url = next(json.loads(line)["address"] for line in self.log if '"listening"' in line)

    def wait_ready(self) -> None:
        self._wait(lambda: httpx.get(f"{self.url}/ready", timeout=60).status_code == 200)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 900
        while not condition():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
