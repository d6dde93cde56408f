"""What glibc's allocator does with memory that was freed. Elsewhere both do nothing."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _NEVER = -3, -1, -1


def keep_freed_memory() -> None:
    """From now on activations are not given back to the kernel between layers: 200,000 page faults a window, saved."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)


def give_back_freed_memory() -> None:
    """Once, of all threads: a model that was closed leaves its weights' memory with the threads that read and ran it."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
