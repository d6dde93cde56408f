"""Ctrl-C: ends a command at once with 130, at whatever moment it comes, and leaves what can be resumed.

Typer takes a KeyboardInterrupt for its own and ends with 1; `Interrupted` passes through it. Work that must be undone (files that are not
whole, workers) is undone on the way. A second Ctrl-C waits for nothing, and neither does one that comes when the command has ended.
In the first hundredths of a second, until this module is imported, Ctrl-C is still Python's own, which prints where it was.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from firstrank.reranker.errors import Interrupted

INTERRUPTED = 130
"""the exit code that shells know an interrupted command by"""

_MOMENT = 0.02
"""seconds"""


def interruptible() -> None:
    """Makes Ctrl-C raise Interrupted in this program; without effect on another thread than the first, which signals never reach."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed: an error that comes after it, from work that was cut off, is no error to speak of."""
    return _pressed


_pressed = False


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _pressed
    _pressed = True
    signal.signal(signal.SIGINT, _leave)
    raise Interrupted


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """An Interrupted within a finaliser, where Python prints an exception and goes on: it comes again, a moment later."""
    if lost.exc_type is Interrupted:
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    else:
        sys.__unraisablehook__(lost)
