"""What only minutes of load can show of the service: overload, disconnects, fairness, memory, the same bytes at any concurrency.

    python -m benchmarks.service overload [--seconds 60] [--calm 5] [--model FOLDER]
    python -m benchmarks.service disconnect [--clients 500] [--model FOLDER]
    python -m benchmarks.service bytes [--requests 48] [--model FOLDER]
    python -m benchmarks.service fairness [--requests 200] [--model FOLDER]
    python -m benchmarks.service mixed [--seconds 600] [--model FOLDER]

`firstrank serve` runs on loopback with one scorer thread, a tiny model unless another is named. Loops are bounded in time and count.
Prints a JSON document of what was counted and timed.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.arguments import parser_of
from benchmarks.memory import resident
from tests.conftest import make_tiny_model
from tests.server.serving import Live, figure, live

WORDS = ["the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was"]
WORDS += ["with", "be", "by", "on", "not", "he", "his", "but", "at", "are"]


def request(seed: int, documents: int = 20, words: int = 40) -> dict:
    draw = random.Random(seed)
    return {"query": " ".join(draw.choices(WORDS, k=6)), "documents": [" ".join(draw.choices(WORDS, k=words)) for _ in range(documents)]}


async def closed_loop(url: str, clients: int, seconds: float, timeout: float = 60.0) -> list[tuple[float, int, float]]:
    """Clients that ask again as soon as they are answered: (seconds since the start, status, seconds of the request)."""
    answers: list[tuple[float, int, float]] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    started = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def one(number: int) -> None:
            while time.perf_counter() - started < seconds:
                asked = time.perf_counter()
                answer = await client.post("/rerank", json=request(number), headers={"x-request-timeout": str(timeout)})
                answers.append((time.perf_counter() - started, answer.status_code, time.perf_counter() - asked))

        await asyncio.gather(*(one(number) for number in range(clients)))
    return answers


class Connections:
    """A light HTTP client: at these rates a full one would be the bottleneck."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes, timeout: float) -> int:
        """The status of a rerank request."""
        kept = bool(self._idle)
        reader, writer = self._idle.pop() if kept else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            return await self._ask(reader, writer, body, timeout)
        except (ConnectionError, asyncio.IncompleteReadError):
            if not kept:
                raise
            return await self.post(body, timeout)  # the service had closed it

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, timeout: float) -> int:
        head = f"POST /rerank HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: {timeout}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(said.partition("content-length: ")[2].partition("\r\n")[0]))
        self._idle.append((reader, writer))
        return int(said.split(" ", 2)[1])


async def open_loop(server: Live, rate: float, seconds: float, timeout: float, seen: list[float]) -> list[tuple[float, int, float]]:
    """So many requests a second, whether or not earlier ones were answered."""
    bodies = [json.dumps(request(number)).encode() for number in range(64)]
    answers: list[tuple[float, int, float]] = []
    connections = Connections(server.url)
    started = time.perf_counter()

    async def one(number: int) -> None:
        asked = time.perf_counter()
        try:
            status = await connections.post(bodies[number % 64], timeout)
        except (OSError, asyncio.IncompleteReadError) as error:
            print(type(error).__name__, error, file=sys.stderr)
            status = 0
        answers.append((time.perf_counter() - started, status, time.perf_counter() - asked))

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            if (wait := started + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if number % max(1, int(rate)) == 0:
                seen.append(resident(server.process.pid))
            group.create_task(one(number))
    return answers


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def overload(server: Live, seconds: float, calm_seconds: float) -> dict:
    """Ten times as many requests as can be ranked."""
    asyncio.run(closed_loop(server.url, 2, 0.6 * calm_seconds))  # warm
    calm = asyncio.run(closed_loop(server.url, 2, calm_seconds))
    capacity = sum(status == 200 for _, status, _ in calm) / calm_seconds
    usual = statistics.median(took for _, status, took in calm if status == 200)
    timeout, rate, seen = 2.0, 10 * capacity, []
    answers = asyncio.run(open_loop(server, rate, seconds, timeout, seen))
    ended = time.perf_counter()
    while True:  # until a request takes its usual time again
        asked = time.perf_counter()
        status = httpx.post(f"{server.url}/rerank", json=request(0), timeout=60).status_code
        took = time.perf_counter() - asked
        if (status == 200 and took < 2 * usual) or time.perf_counter() - ended > 60:
            break
    recovered = time.perf_counter() - ended
    ranked = [took for _, status, took in answers if status == 200]
    refused = [took for _, status, took in answers if status == 429]
    half = len(seen) // 2
    metrics = httpx.get(f"{server.url}/metrics").text
    return {
        "capacity_per_second": capacity,
        "asked_per_second": len(answers) / seconds,
        "statuses": dict(Counter(status for _, status, _ in answers)),
        "deadline_seconds": timeout,
        "ranked_latest_seconds": max(ranked, default=float("nan")),
        "server_ranked_latest_bucket": latest_bucket(metrics),
        "refused_p50_ms": 1000 * quantile(refused, 0.5),
        "refused_p99_ms": 1000 * quantile(refused, 0.99),
        "refused_over_50_ms_in_seconds": dict(Counter(int(at) for at, status, took in answers if status == 429 and took > 0.05)),
        "ranked_per_second": len(ranked) / seconds,
        "memory_mb": {
            "first half": max(seen[:half], default=None),
            "second half": max(seen[half:], default=None),
            "after": resident(server.process.pid),
        },
        "recovered_seconds": recovered,
        "alive": server.process.poll() is None,
        "tracebacks": sum("Traceback" in line or '"level": "error"' in line for line in server.log),
    }


def latest_bucket(metrics: str) -> str:
    """The first bucket of ranked requests' latency, as the service saw it, that holds them all."""
    wanted = r'firstrank_request_seconds_bucket\{le="([^"]+)",model="[^"]*",route="/rerank",status="200"\} (\S+)'
    counts = re.findall(wanted, metrics)
    return next(edge for edge, count in counts if count == counts[-1][1])


def disconnect(server: Live, clients: int) -> dict:
    """Clients that send a request and leave."""

    async def leave(number: int, signal: asyncio.Event) -> None:
        body = json.dumps(request(number, documents=100, words=12)).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        await signal.wait()
        writer.close()

    async def all_leave() -> None:
        signal = asyncio.Event()
        leaving = [asyncio.ensure_future(leave(number, signal)) for number in range(clients)]
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            asked = time.perf_counter()
            while (inside := figure((await client.get("/metrics")).text, names[0])) < clients - 5 and time.perf_counter() - asked < 60:
                await asyncio.sleep(0.05)
        waiting.append(inside)
        signal.set()
        await asyncio.gather(*leaving)

    waiting: list[float] = []
    names = ("firstrank_requests_inside", "firstrank_requests_waiting", "firstrank_requests_running", "firstrank_windows_in_flight")
    before = httpx.get(f"{server.url}/metrics").text
    asyncio.run(all_leave())
    left = time.perf_counter()
    while time.perf_counter() - left < 30:
        metrics = httpx.get(f"{server.url}/metrics").text
        if not any(figure(metrics, name) for name in names):
            break
        time.sleep(0.02)
    clean = time.perf_counter() - left
    time.sleep(1)
    later = httpx.get(f"{server.url}/metrics").text
    gone = 'firstrank_rejections_total{reason="client_gone"}'
    return {
        "clients": clients,
        "inside_before": waiting[0],
        "left": figure(metrics, gone) - figure(before, gone),
        "seconds_until_nothing_is_queued": clean,
        "after": {name: figure(metrics, name) for name in names},
        "windows_scored": figure(later, "firstrank_windows_total") - figure(before, "firstrank_windows_total"),
        "windows_scored_a_second_later": figure(later, "firstrank_windows_total") - figure(metrics, "firstrank_windows_total"),
    }


def same_bytes(server: Live, requests: int) -> dict:
    """Each request alone, then all of them at several concurrencies, in other orders."""
    bodies = {f"r{number}": request(number, documents=10 + number % 35) for number in range(requests)}

    async def all_of(clients: int, seed: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        left = list(bodies)
        random.Random(seed).shuffle(left)
        async with httpx.AsyncClient(base_url=server.url, timeout=600) as client:

            async def one() -> None:
                while left:
                    name = left.pop()
                    answer = await client.post("/rerank", json=bodies[name], headers={"x-request-id": name})
                    assert answer.status_code == 200, answer.text
                    found[name] = answer.content

            await asyncio.gather(*(one() for _ in range(clients)))
        return found

    alone = asyncio.run(all_of(1, 0))
    return {"requests": requests} | {
        f"different_at_{clients}": sum(alone[name] != content for name, content in asyncio.run(all_of(clients, clients)).items())
        for clients in (2, 8, 32)
    }


def fairness(server: Live, requests: int) -> dict:
    """A request of 2 documents alone, and beside two of 1,000 that are asked again and again: by another client, and by its own."""
    small = request(1, documents=2)
    greedy = request(2, documents=1000, words=12) | {"strategy": "sliding:stride=5"}

    async def took(client: httpx.AsyncClient, key: str) -> list[float]:
        found = []
        for _ in range(requests):
            asked = time.perf_counter()
            answer = await client.post("/rerank", json=small, headers=bearer(key))
            answer.raise_for_status()
            found.append(1000 * (time.perf_counter() - asked))
            await asyncio.sleep(0.01)
        return found

    async def ask_much(client: httpx.AsyncClient, ranked: list[float]) -> None:
        while True:
            asked = time.perf_counter()
            (await client.post("/rerank", json=greedy, headers=bearer("greedy"))).raise_for_status()
            ranked.append(time.perf_counter() - asked)

    async def beside(key: str) -> dict:
        ranked: list[float] = []
        async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
            alone = await took(client, key)
            greedy_ones = [asyncio.ensure_future(ask_much(client, ranked)) for _ in range(2)]
            await asyncio.sleep(1)
            while_busy = await took(client, key)
            for one in greedy_ones:
                one.cancel()
            await asyncio.gather(*greedy_ones, return_exceptions=True)
        await asyncio.sleep(2)
        shown = {
            f"{name}_p{int(100 * share)}_ms": quantile(took, share)
            for name, took in (("alone", alone), ("beside", while_busy))
            for share in (0.5, 0.95)
        }
        return shown | {"p95_ratio": shown["beside_p95_ms"] / shown["alone_p95_ms"], "greedy_requests_ranked": len(ranked)}

    return {"another client": asyncio.run(beside("small")), "the same client": asyncio.run(beside("greedy"))}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def mixed(server: Live, seconds: float) -> dict:
    """Small, usual and large requests, several shapes, clients that leave and bodies that are wrong, all at once."""
    draw, statuses, seen = random.Random(0), Counter[str](), []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        kind = draw.choices(["small", "usual", "large", "texts", "wrong", "leaves"], [30, 30, 4, 20, 8, 8])[0]
        asked = request(number, documents={"small": 2, "large": 300}.get(kind, 20))
        if kind == "texts":
            asked = {"query": asked["query"], "texts": asked["documents"]}
        if kind == "wrong":
            asked = asked | {"top_n": "many"}
        try:
            answer = await client.post("/rerank", json=asked, timeout=0.005 if kind == "leaves" else 120)
            statuses[f"{kind} {answer.status_code}"] += 1
        except httpx.TimeoutException:
            statuses[f"{kind} left"] += 1

    async def all_of_them() -> None:
        started = time.perf_counter()
        numbers = iter(range(10**9))

        async def client_of_many() -> None:
            async with httpx.AsyncClient(base_url=server.url) as client:
                while time.perf_counter() - started < seconds:
                    await one(client, next(numbers))

        async def watch() -> None:
            while time.perf_counter() - started < seconds:
                seen.append(resident(server.process.pid))
                await asyncio.sleep(1)

        await asyncio.gather(watch(), *(client_of_many() for _ in range(12)))

    asyncio.run(all_of_them())
    fifth = max(1, len(seen) // 5)
    metrics = httpx.get(f"{server.url}/metrics").text
    return {
        "requests": statuses.total(),
        "statuses": dict(sorted(statuses.items())),
        "memory_mb_by_fifths": [max(seen[start : start + fifth]) for start in range(0, fifth * 5, fifth) if seen[start : start + fifth]],
        "left_inside": figure(metrics, "firstrank_requests_inside"),
        "alive": server.process.poll() is None,
        "errors_in_the_log": sum('"level": "error"' in line for line in server.log),
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("service", __doc__)
    parser.add_argument("question", choices=["overload", "disconnect", "bytes", "fairness", "mixed"])
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload, and of mixed load")
    parser.add_argument("--calm", type=float, default=5.0, help="seconds before, in which two clients find out how many can be ranked")
    parser.add_argument("--clients", type=int, default=500, help="that leave")
    parser.add_argument("--requests", type=int, default=48, help="whose bytes are compared, or that are asked beside greedy ones")
    parser.add_argument("--model")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(make_tiny_model(Path(folder)))
        queue = ["--max-queue", str(2 * options.clients)] if options.question == "disconnect" else []
        keys = {"FIRSTRANK_API_KEYS": "small name=small,greedy name=greedy"} if options.question == "fairness" else {}
        with live("--model", f"default={model}", "--threads", "1", *queue, env=keys) as server:
            if options.question == "overload":
                found = overload(server, options.seconds, options.calm)
            elif options.question == "disconnect":
                found = disconnect(server, options.clients)
            elif options.question == "fairness":
                found = fairness(server, options.requests)
            elif options.question == "mixed":
                found = mixed(server, options.seconds)
            else:
                found = same_bytes(server, options.requests)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    sys.exit(main())
