"""Processes as Linux tells of them: whose they are, and whether they have ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path


def children(pid: int) -> Iterator[tuple[int, str]]:
    """(pid, command line) of all that a process started, as deep as it goes."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except (OSError, ValueError):
            continue
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            try:
                yield child, Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue


def began(pid: int) -> str | None:
    """When a process began, which tells it from a later one of its number; None once it is but an entry that nobody has collected."""
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else numbers[18]


def descendants(pid: int) -> dict[int, str | None]:
    """pid -> when it began, of all that a process started."""
    return {child: began(child) for child, _ in children(pid)}


def wait_until_gone(processes: Mapping[int, str | None], seconds: float) -> None:
    """Fails where one of them is still there after so long."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid, then in processes.items() if then is not None and began(pid) == then]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.2)
