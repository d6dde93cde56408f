"""Time and memory of work on a device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import torch

from benchmarks import memory
from benchmarks.gpu.plan import Row


def seconds_of(work: Callable[[], object], times: int = 5) -> float:
    """The shortest of several runs, after one that is not counted."""
    found = []
    for _ in range(times + 1):
        wait()
        started = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> Row:
    """GiB at the most since the last call: of the GPU, or of this process."""
    if not torch.cuda.is_available():
        return {"GiB": memory.peak() / 1024}
    used = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return {"GiB": used}


async def closed_loop(ask: Callable[[], Awaitable[object]], clients: int, seconds: float, least: int) -> tuple[list[float], float]:
    """Clients that ask again as soon as they are answered: each answer's seconds, and those of all. At least `least` answers a client."""
    found: list[float] = []
    begun = time.perf_counter()

    async def client() -> None:
        asked = 0
        while asked < least or time.perf_counter() - begun < seconds:
            started = time.perf_counter()
            await ask()
            found.append(time.perf_counter() - started)
            asked += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return found, time.perf_counter() - begun


def latencies(found: Sequence[float], whole: float) -> Row:
    """In milliseconds, and answers a second."""
    p50, p95, p99 = (1000 * float(value) for value in np.percentile(np.array(found), [50, 95, 99]))
    return {"p50 ms": p50, "p95 ms": p95, "p99 ms": p99, "queries/s": len(found) / whole, "queries": len(found)}
