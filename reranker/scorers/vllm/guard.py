"""An engine ends with the process that started it, even where that was killed and could not tell it.

vLLM imports this module in each worker, to find the class `EndsWithOwner`. A thread there looks now and then whether the engine's
topmost process still has its parent; where not, it ends all processes from there down to itself. Linux only; a worker on another
machine has no such parent, and is Ray's to end.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

OWNER = "FIRSTRANK_ENGINE_OWNER"
"""the variable that tells an engine's processes which process started it"""

_EVERY = 1.0
"""seconds"""


class EndsWithOwner:
    """Adds nothing to a worker of vLLM."""


def parent_of(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def lineage(owner: int) -> list[int]:
    """This process and those above it, up to the owner's child; empty where the owner is not above it."""
    found, above = [os.getpid()], parent_of(os.getpid())
    while above not in (owner, None, 0):
        assert above is not None
        found.append(above)
        above = parent_of(above)
    return found if above == owner and found[0] != owner else []


def watch(owner: int) -> None:
    """Ends this process, and those between it and its owner, once the owner is gone."""
    if processes := lineage(owner):
        threading.Thread(target=_wait, args=(owner, processes), name="firstrank-guard", daemon=True).start()


def _wait(owner: int, processes: list[int]) -> None:
    while parent_of(processes[-1]) == owner:
        time.sleep(_EVERY)
    for process in reversed(processes):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


if told := os.environ.get(OWNER):
    watch(int(told))
