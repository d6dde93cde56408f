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

_log = logging.getLogger(__name__)

LOG = "log.jsonl"


class RunLog(TrainerCallback):
    """Writes `log.jsonl`: {"step", "loss", "lm", "rank", "grad_norm", "learning_rate", "windows", "tokens", "seconds"} a step
    ("probe" too where it is on), {"step", "ndcg@10", "seconds"} an evaluation."""

    def __init__(self, folder: Path, total: int) -> None:
        self._path, self._total = folder / LOG, total
        self._progress: Progress | None = None
        self._started = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        kept = [entry for entry in read_log(self._path) if entry["step"] <= state.global_step]
        self._path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        self._progress = Progress("training", self._total, state.global_step)
        self._progress.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or not ({"lm", "rank", "ndcg@10"} & logs.keys()):
            return
        entry = {"step": state.global_step} | {name: value for name, value in logs.items() if name != "epoch"}
        entry["seconds"] = round(time.perf_counter() - self._started, 3)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if "ndcg@10" in entry:
            _log.info(f"step {state.global_step}: nDCG@10 {entry['ndcg@10']:.4f}")

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
