"""SIGTERM and Ctrl-C while a run trains: the step is finished, a checkpoint written, and the same command goes on from there."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from transformers import TrainerCallback

from firstrank.reranker.errors import Interrupted

_log = logging.getLogger(__name__)


class Stop(TrainerCallback):
    """Listens to both signals while the block runs. Between steps, and the second time, they end the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """the one that came, if any"""
        self._training = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What shells know a process by that a signal ended; 0 where none came."""
        return 128 + self.signal if self.signal else 0

    def _heard(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, number
        if again:
            os._exit(self.exit_code)
        if not self._training:
            raise Interrupted
        name = signal.Signals(number).name
        _log.warning(f"{name}: a checkpoint is written after this step; once more ends it at once, back to the last checkpoint")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if _anywhere(self.signal is not None, args.device):
            control.should_save = control.should_training_stop = True


def _anywhere(here: bool, device: Any) -> bool:
    """Whether any of the processes says so: they must stop after the same step."""
    import torch
    import torch.distributed as processes

    if not (processes.is_available() and processes.is_initialized()):
        return here
    said = torch.tensor(int(here), device=device)
    processes.all_reduce(said, processes.ReduceOp.MAX)
    return bool(said)
