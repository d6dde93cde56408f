"""Ctrl-C: ends a command at once with 130, at whatever moment it comes, and leaves what can be resumed.

Typer takes a KeyboardInterrupt for its own and ends with 1; `Interrupted` passes through it. Work that must be undone (files that are not
whole, workers) is undone on the way. A second Ctrl-C waits for nothing, and neither does one that comes when the command has ended.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

INTERRUPTED = 130
"""the exit code that shells know an interrupted command by"""


class Interrupted(BaseException):
    """The user pressed Ctrl-C."""


def interruptible() -> None:
    """Makes Ctrl-C raise Interrupted in this program; without effect on another thread than the first, which signals never reach."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise Interrupted


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
