"""Ctrl-C, SIGTERM, SIGHUP: end a command at once with 128 and their number, whenever they come, and leave what can be resumed.

Typer takes a KeyboardInterrupt for its own and ends with 1; `Interrupted` passes through it. Work that must be undone (files that are not
whole, workers) is undone on the way. A second signal waits for nothing, and neither does one that comes when the command has ended.
In the first hundredths of a second, until this module is imported, signals are still Python's own: Ctrl-C prints where it was.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from firstrank.reranker.errors import Interrupted

_MOMENT = 0.02
"""seconds"""


def interruptible() -> None:
    """Makes these signals raise Interrupted in this program; without effect on another thread than the first, which signals never reach.

    Those that are ignored stay so, as `nohup` wants it; Ctrl-C never is.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _ending():
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def was_interrupted() -> bool:
    """Whether such a signal came: an error that follows it, from work that was cut off, is no error to speak of."""
    return _came is not None


def interrupted_by() -> signal.Signals:
    """The signal that came; Ctrl-C's where Python itself took it."""
    return _came or signal.SIGINT


def exit_code() -> int:
    """What shells know a command by that a signal ended."""
    return 128 + interrupted_by()


_came: signal.Signals | None = None


def _ending() -> list[signal.Signals]:
    return [found for name in ("SIGINT", "SIGTERM", "SIGHUP") if (found := getattr(signal, name, None)) is not None]


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _came
    if number != signal.SIGALRM:
        _came = signal.Signals(number)
    for each in _ending():
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _leave)
    raise Interrupted


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(exit_code())


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """An Interrupted within a finaliser, where Python prints an exception and goes on: it comes again, a moment later."""
    if lost.exc_type is Interrupted:
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    else:
        sys.__unraisablehook__(lost)
