"""What a run tells while it runs: a line a step in `log.jsonl`, progress on the terminal. A resumed run goes on at its checkpoint."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from firstrank.reranker.models.progress import Progress
from firstrank.reranker.runs.files import whole_file
from firstrank.training.output import writing

_log = logging.getLogger(__name__)

LOG = "log.jsonl"


class RunLog(TrainerCallback):
    """Writes `log.jsonl`: {"step", "loss", "lm", "rank", "grad_norm", "learning_rate", "windows", "tokens", "seconds"} a step
    ("probe", "distill", "z", "start" too where they are on, "tokens_per_second"), {"step", "ndcg@10", "seconds"} an evaluation; that
    before the first step has the "first stage" too."""

    def __init__(self, folder: Path, total: int) -> None:
        self._path, self._total = folder / LOG, total
        self._progress: Progress | None = None
        self._started = time.perf_counter()
        self._working = 0.0
        """seconds of steps since the last line"""
        self._begun = self._started

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        begun = state.global_step > 0  # else what it says of step 0 is said again
        kept = [entry for entry in read_log(self._path) if begun and entry["step"] <= state.global_step]
        with whole_file(self._path) as file:
            file.writelines(json.dumps(entry) + "\n" for entry in kept)
        self._progress = Progress("training", self._total, state.global_step)
        self._progress.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._working += time.perf_counter() - self._begun
        if self._progress is not None:
            self._progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or not ({"lm", "rank", "ndcg@10"} & logs.keys()):
            return
        entry = {"step": state.global_step} | {name: value for name, value in logs.items() if name != "epoch"}
        if "tokens" in entry and self._working:
            entry["tokens_per_second"] = round(entry["tokens"] / self._working, 1)
            self._working = 0.0
        entry["seconds"] = round(time.perf_counter() - self._started, 3)
        then = "the run can be gone on with from the last checkpoint, once there is room"
        with writing(self._path, then), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if "ndcg@10" in entry:
            first = f"; the first stage's is {entry['first stage']:.4f}" if "first stage" in entry else ""
            _log.info(f"step {state.global_step}: nDCG@10 {entry['ndcg@10']:.4f}{first}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, the last of which a killed process may have left unfinished."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries
