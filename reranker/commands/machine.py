"""What `firstrank doctor` finds of the machine: room, memory, limits, the clock, and whether fetched weights are whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["ok", "absent", "warning", "broken"]

_LITTLE_ROOM = 2e9
"""bytes: the default model, made ready, and a store of texts"""
_LITTLE_MEMORY = 2e9
_FEW_FILES = 1024
_SHARED = 1e9
"""bytes of /dev/shm that vLLM's and Ray's processes share"""
_RELEASED = 1_767_225_600
"""1 January 2026: no clock that is right says less"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    verdict: Verdict
    detail: str


def findings() -> Iterator[Finding]:
    """Everything of the machine."""
    yield cache()
    yield temporary()
    yield from memory()
    yield from limits()
    yield from clock()
    yield from variables()


def cache() -> Finding:
    from firstrank.reranker.config import cache_dir

    folder = cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    elsewhere = "FIRSTRANK_CACHE names another place"
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as probe:
            probe.write(bytes(4096))
            probe.flush()
    except OSError as error:
        return Finding("cache", "broken", f"{folder}: cannot be written: {error.strerror or error}; {elsewhere}")
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    free = shutil.disk_usage(existing).free
    said = f"{folder}: {used / 1e6:.0f} MB used, {free / 1e9:.1f} GB free"
    if free < _LITTLE_ROOM:
        return Finding("cache", "warning", f"{said}: too little for a model; make room, or {elsewhere}")
    return Finding("cache", "ok", said)


def temporary() -> Finding:
    """Where pipes are copied to, and the journals of batches whose output is no file."""
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        return Finding("temporary files", "broken", f"{error.strerror or error}; TMPDIR names another place")
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_ROOM / 10:
        return Finding("temporary files", "warning", f"{folder}: {free / 1e6:.0f} MB free; make room, or TMPDIR names another place")
    return Finding("temporary files", "ok", f"{folder}: {free / 1e9:.1f} GB free")


def memory() -> Iterator[Finding]:
    """What Linux says is free, and what processes may share."""
    if (free := _available()) is not None:
        if free < _LITTLE_MEMORY:
            advice = "too little for most models; end other programs, or take --dtype bfloat16 or a smaller model"
            yield Finding("memory", "warning", f"{free / 1e9:.1f} GB free: {advice}")
        else:
            yield Finding("memory", "ok", f"{free / 1e9:.1f} GB free")
    if (shared := Path("/dev/shm")).is_dir() and (size := shutil.disk_usage(shared).total) < _SHARED:
        yield Finding("/dev/shm", "warning", f"{size / 1e6:.0f} MB: vLLM and Ray want more; for a container --shm-size=2g")


def limits() -> Iterator[Finding]:
    """Open files: each connection of a service is one."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most <= _FEW_FILES:
        yield Finding("open files", "warning", f"at most {most}: few for a service; ulimit -n, or LimitNOFILE of its unit, raises it")


def clock() -> Iterator[Finding]:
    """A clock that is behind makes certificates invalid, and so nothing can be fetched."""
    if time.time() < _RELEASED:
        yield Finding("clock", "warning", f"says {time.strftime('%Y-%m-%d')}: it is behind, and fetching will fail; set it")


def variables() -> Iterator[Finding]:
    """Variables that change what happens."""
    threads, cores = os.environ.get("OMP_NUM_THREADS", ""), os.cpu_count() or 1
    if threads.isdigit() and int(threads) > cores:
        yield Finding("OMP_NUM_THREADS", "warning", f"{threads}, and there are {cores} cores: threads wait for one another; unset it")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding("HF_HUB_OFFLINE", "ok", "set: nothing is fetched from Hugging Face")


def damage(weights: Path) -> str | None:
    """What is wrong with a file of safetensors, by its header and its length; None where nothing is."""
    import json

    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = weights.stat().st_size
            if not 2 <= length <= size - 8:
                return "has no header"
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "has a damaged header"
    missing = 8 + length + max(ends, default=0) - size
    return f"is {missing:,} bytes too short" if missing > 0 else None


def _available() -> int | None:
    """Bytes, as /proc/meminfo and this container's limit say; None where there are none."""
    try:
        said = Path("/proc/meminfo").read_text(encoding="utf-8")
        free = int(said.partition("MemAvailable:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        most = int((group / "memory.max").read_text(encoding="utf-8"))
        used = int((group / "memory.current").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no container, or no limit: "max"
        return free
    return min(free, max(0, most - used))
