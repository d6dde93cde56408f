"""A process's memory, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident(process: int | str = "self") -> float:
    """MiB of the resident set."""
    return _told(process, "VmRSS")


def peak(process: int | str = "self") -> float:
    """MiB of the resident set at its largest; getrusage would add that of the process which started this one."""
    return _told(process, "VmHWM")


def _told(process: int | str, name: str) -> float:
    return int(Path(f"/proc/{process}/status").read_text(encoding="utf-8").partition(f"{name}:")[2].split()[0]) / 1024
