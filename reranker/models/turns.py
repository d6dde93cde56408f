"""One large computation on the CPU at a time: two that use all of its threads wait for each other at every step, and both are slow."""

from __future__ import annotations

import threading

CPU_TURN = threading.Lock()
"""held while encoders or a network compute on the threads of this process"""
