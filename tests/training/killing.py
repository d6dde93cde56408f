"""Kills a run again and again, and fills its disk, until it ends: `python -m tests.training.killing RECIPE KILLS FULL SEED`.

RECIPE is a recipe as JSON without `output`. The run is a forked process of one that has imported everything, so that a kill costs a
second and not ten. Prints one JSON object: what each interruption found, and which files differ from an uninterrupted run's in the end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.reranker.errors import FirstrankError
from firstrank.training import run, stops, trainer  # noqa: F401  # imported before the fork
from firstrank.training.config import Config
from firstrank.training.log import LOG, read_log
from firstrank.training.output import CHECKPOINTS, FINISHED, STAGE

ENDED = "had ended"
_TIMES = ("seconds", "tokens_per_second")


def begun(config: Config, *, room: int | None = None) -> int:
    """A process that trains; `room` is how large a file may be. It ends with 0, with 1 for a sentence, with 70 for anything else."""
    if (child := os.fork()) > 0:
        return child
    code = 70
    try:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        run.train(config)
        code = 0
    except FirstrankError as error:
        (config.output / "said.txt").write_text(str(error)[: room or None])
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(config: Config, moment: Callable[[], bool], then: float) -> str:
    """Kills the run a while after its moment has come; says what was there."""
    child = begun(config)
    while not moment():
        if os.waitpid(child, os.WNOHANG)[0]:
            return ENDED
        time.sleep(0.001)
    time.sleep(then)
    os.kill(child, signal.SIGKILL)
    if ended(child) == 0:
        return ENDED
    return "exporting" if (config.output / STAGE).exists() else f"{len(list((config.output / CHECKPOINTS).glob('*')))} checkpoints"


def left(output: Path) -> dict[str, bytes]:
    """What a run leaves, but for the times in its log, and where it was."""
    here = str(output.parent).encode()
    made = [path for name in ("model", "adapter") for path in sorted((output / name).rglob("*")) if path.is_file()]
    found = {str(path.relative_to(output)): path.read_bytes().replace(here, b"HERE") for path in made}
    entries = [{key: value for key, value in entry.items() if key not in _TIMES} for entry in read_log(output / LOG)]
    return found | {LOG: json.dumps(entries).encode()}


def main(words: list[str]) -> None:
    fields, kills, full, rng = json.loads(words[0]), int(words[1]), int(words[2]), np.random.default_rng(int(words[3]))
    with tempfile.TemporaryDirectory() as scratch:
        made = lambda name: Config.model_validate(fields | {"output": f"{scratch}/{name}/run"})  # noqa: E731  # said where it is used
        whole = made("whole")
        started = time.perf_counter()
        assert ended(begun(whole)) == 0
        lasted = time.perf_counter() - started
        expected = left(whole.output)
        report: dict[str, Any] = {"kills": [], "full": [], "differ": []}
        number = 0
        while len(report["kills"]) < kills:
            number += 1
            config = made(f"killed-{number}")
            report["kills"] += [found for found in _kills(config, lasted, rng, min(3, kills - len(report["kills"]))) if found != ENDED]
            _compare(config, expected, report)
        largest = max(path.stat().st_size for path in whole.output.rglob("*") if path.is_file())
        for place in range(full):
            config = made(f"full-{place}")
            room = int(rng.integers(300, largest))
            code = ended(begun(config, room=room))
            said = config.output / "said.txt"
            report["full"].append({"room": room, "code": code, "said": said.read_text() if said.exists() else ""})
            said.unlink(missing_ok=True)
            _compare(config, expected, report)
    print(json.dumps(report))


def _kills(config: Config, lasted: float, rng: np.random.Generator, count: int) -> list[str]:
    """At any moment, while it exports, while it writes a checkpoint: in turn."""
    stage, checkpoints = config.output / STAGE, config.output / CHECKPOINTS
    found = []
    for _ in range(count):
        kind = int(rng.integers(3))
        before = len(list(checkpoints.glob("*")))
        if kind == 0:
            found.append(killed(config, lambda: True, float(rng.uniform(0, lasted))))
        elif kind == 1:
            found.append(killed(config, stage.exists, float(rng.uniform(0, 0.15 * lasted))))
        else:
            found.append(killed(config, lambda before=before: len(list(checkpoints.glob("*"))) > before, float(rng.uniform(0, 0.05))))
        if (config.output / FINISHED).exists():
            break
    return found


def _compare(config: Config, expected: dict[str, bytes], report: dict[str, Any]) -> None:
    """Runs the same command to its end."""
    if not (config.output / FINISHED).exists():
        assert ended(begun(config)) == 0
    found = left(config.output)
    report["differ"] += [
        f"{config.output.parent.name}: {name}" for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    ]


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main(sys.argv[1:])
