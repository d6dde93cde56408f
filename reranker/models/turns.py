"""What threads of one process do one after another: large computations on its CPU, and reading weights."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that goes to the thread that has waited longest, for `with` alone; not reentrant.

    `threading.Lock` goes to whoever asks at the right moment: who takes it again at once, as a busy model does, keeps it from the others.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:  # Ctrl-C while waiting: the turn may be given all the same
            with self._guard:
                given = mine not in self._waiting
                if not given:
                    self._waiting.remove(mine)
            if given:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


CPU_TURN = FairLock()
"""held while encoders or a network compute on the threads of this process: two that use all of them wait for each other at every step,
and both are slow"""
LOADING = threading.RLock()
"""held while transformers reads weights: it changes how torch makes a network meanwhile, and of two at a time one lacks its head"""
