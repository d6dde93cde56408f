"""The HTTP service against the executor itself, in one run: what a request costs more, and how much of the throughput is left.

`firstrank serve` runs as a process on loopback; the same requests are ranked by it and in this process, in turns, so that a machine
that is slow today is slow on both sides. Each answer must hold the order that this process found.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from firstrank.reranker.errors import FirstrankError
from firstrank.reranker.runs.files import whole_file

if TYPE_CHECKING:
    import httpx

    from firstrank.reranker import Ranking, Request, Reranker
    from firstrank.reranker.setup import SetupSettings

ROUNDS = 5
_SINGLES = 100
"""requests at most that are sent one at a time"""
_START = 300.0
"""seconds that a model may take to load"""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """What one measurement found. Rates are medians over `ROUNDS`; milliseconds are medians over requests."""

    model: str
    threads: int | None
    depth: int
    """documents of a request"""
    windows: int
    """of a request"""
    direct_ms: float
    """one request at a time, in this process"""
    http_ms: float
    """the same requests, over HTTP"""
    clients: int
    requests: int
    """of a round"""
    offline: float
    """windows a second, in this process"""
    served: float
    """windows a second, of `clients` clients"""
    shares: tuple[float, ...]
    """served / offline, of each round"""

    @property
    def overhead_ms(self) -> float:
        return self.http_ms - self.direct_ms

    @property
    def share(self) -> float:
        return statistics.median(self.shares)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"overhead_ms": self.overhead_ms, "share": self.share}


def measure_server(model: str, settings: SetupSettings, *, depth: int = 20, clients: int = 64, requests: int = 128) -> ServiceFigures:
    """Serves `model` and ranks `requests` requests of `depth` documents in each round; `settings` say how it runs.

    Raises FirstrankError where the service does not start, fails a request, or gives another order than this process.
    """
    import httpx

    from firstrank.eval.bench.throughput import Load
    from firstrank.reranker import Reranker

    load = list(Load(requests, depth).requests())
    with serving(model, settings) as url, Reranker(model, **settings) as reranker, httpx.Client(base_url=url, timeout=None) as client:
        warm = [*reranker.rank_many(load[:2])]
        for request, ranking in zip(load, warm, strict=False):
            _check(_post(client, request), ranking)
        direct, http = _one_by_one(reranker, client, load[:_SINGLES])
        offline, served, shares = [], [], []
        for _ in range(ROUNDS):
            windows, seconds, rankings = _offline(reranker, load)
            offline.append(windows / seconds)
            served.append(windows / asyncio.run(_clients(url, load, rankings, clients)))
            shares.append(served[-1] / offline[-1])
    return ServiceFigures(
        model=model,
        threads=settings.get("threads"),
        depth=depth,
        windows=len(warm[0].trace.windows),
        direct_ms=1000 * statistics.median(direct),
        http_ms=1000 * statistics.median(http),
        clients=clients,
        requests=requests,
        offline=statistics.median(offline),
        served=statistics.median(served),
        shares=tuple(shares),
    )


def write(found: ServiceFigures, output: Path) -> None:
    """`server.json` in the folder `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with whole_file(output / "server.json") as file:
        file.write(json.dumps(found.to_dict(), indent=2) + "\n")


@contextmanager
def serving(model: str, settings: SetupSettings) -> Iterator[str]:
    """`firstrank serve` with one model on a free port of loopback; gives its address once it can rank."""
    flags = [part for name, value in settings.items() for part in _flags(name, value)]
    command = [
        sys.executable,
        "-c",
        "from firstrank.reranker.cli import main; main()",
        "serve",
        "--port",
        "0",
        "--model",
        f"default={model}",
        *flags,
    ]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen([*command, "--max-queue", "4096", "--timeout", "600", "--log-level", "info"], stderr=log)
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(60)


def _flags(name: str, value: object) -> Iterator[str]:
    """A setting as `firstrank serve` is told of it."""
    if name == "engine" and isinstance(value, dict):
        value, name = [f"{key}={given}" for key, given in value.items()], "engine_arg"
    for one in value if isinstance(value, list | tuple) else [value]:
        yield from (f"--{name.removesuffix('s') if name == 'base_urls' else name}".replace("_", "-"), str(one))


def _address(process: subprocess.Popen[bytes], log: IO[str]) -> str:
    import httpx

    ends = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < ends:
        log.seek(0)
        for line in log.read().splitlines():
            if '"listening"' in line and line.endswith("}"):
                address: str = json.loads(line)["address"]
                with suppress(httpx.TransportError):  # it may be ending already
                    if httpx.get(f"{address}/ready").status_code == 200:
                        return address
        time.sleep(0.1)
    log.seek(0)
    raise FirstrankError(f"firstrank serve did not get ready: {log.read()[-2000:]}")


def _one_by_one(reranker: Reranker, client: httpx.Client, load: list[Request]) -> tuple[list[float], list[float]]:
    """Seconds of each request in this process and over HTTP, in turns."""
    direct, http = [], []
    for request in load:
        started = time.perf_counter()
        [ranking] = reranker.rank_many([request])
        direct.append(time.perf_counter() - started)
        started = time.perf_counter()
        answer = _post(client, request)
        http.append(time.perf_counter() - started)
        _check(answer, ranking)
    return direct, http


def _offline(reranker: Reranker, load: list[Request]) -> tuple[int, float, list[Ranking]]:
    started = time.perf_counter()
    rankings = [*reranker.rank_many(load)]
    return sum(len(ranking.trace.windows) for ranking in rankings), time.perf_counter() - started, rankings


async def _clients(url: str, load: list[Request], rankings: list[Ranking], clients: int) -> float:
    """Seconds until `clients` clients, each with a connection of its own, have had all requests ranked."""
    import httpx

    left = iter([(_body(request), ranking) for request, ranking in zip(load, rankings, strict=True)])
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:

        async def one() -> None:
            for body, ranking in left:
                _check(await client.post("/v2/rerank", content=body), ranking)

        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        return time.perf_counter() - started


def _post(client: httpx.Client, request: Request) -> httpx.Response:
    return client.post("/v2/rerank", content=_body(request))


def _body(request: Request) -> bytes:
    return json.dumps({"query": request.query, "documents": [passage.text for passage in request.passages]}).encode()


def _check(answer: httpx.Response, ranking: Ranking) -> None:
    if answer.status_code != 200:
        raise FirstrankError(f"the service answered {answer.status_code}: {answer.text[:500]}")
    if [one["index"] for one in answer.json()["results"]] != [result.index for result in ranking]:
        raise FirstrankError("the service gave another order than the executor in this process")
