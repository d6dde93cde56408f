"""A run's folder: whose it is, when it is finished, and how an export appears in it: whole or not at all.

OUTPUT/config.yaml and inputs.json say what the run is; both are written before its first step. An export is made in OUTPUT/export.part,
moved to its place when it is whole, and declared last, in finished.json: a run that was killed before that is gone on with.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from firstrank.reranker.errors import FirstrankError, InputError, MachineError
from firstrank.reranker.runs.files import whole_file
from firstrank.training.config import Config

_log = logging.getLogger(__name__)

CONFIG, INPUTS, FINISHED = "config.yaml", "inputs.json", "finished.json"
CHECKPOINTS = "checkpoints"
STAGE = "export.part"
_FREE = ("checkpoints", "log", "export", "threads")
"""what may change when a run is resumed: none of it moves a weight"""


def check_output(config: Config, inputs: Mapping[str, str], *, allow_changed_data: bool = False) -> None:
    """Makes the run's folder; `inputs` are the hashes of what is trained on.

    Raises InputError where it cannot be made, holds another recipe's run, one on other data, or a finished one.
    """
    folder, kept = config.output, config.output / CONFIG
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    if not kept.is_file():
        return
    found, before = config.model_dump(mode="json"), _read(kept)
    if changed := sorted(key for key in found.keys() | before.keys() if key not in _FREE and found.get(key) != before.get(key)):
        raise InputError(f"{folder}: holds a run of another recipe ({', '.join(changed)} differ): give another output=, or delete it")
    if (folder / FINISHED).is_file():
        raise InputError(f"{folder}: this run is finished; give another output=, or delete it")
    _check_inputs(folder, inputs, allow_changed_data)


def _read(kept: Path) -> dict[str, Any]:
    """A run's recipe; keys that this version of Firstrank has and the run's had not have their defaults."""
    try:
        found = yaml.safe_load(kept.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{kept}: is not a run's recipe: give another output=, or delete it") from error
    try:
        return Config.model_validate(found).model_dump(mode="json")
    except ValidationError:
        return found if isinstance(found, dict) else {}


def _check_inputs(folder: Path, inputs: Mapping[str, str], allowed: bool) -> None:
    kept = folder / INPUTS
    if not kept.is_file():
        return
    before = json.loads(kept.read_text(encoding="utf-8"))
    changed = sorted(name for name in inputs.keys() | before.keys() if inputs.get(name) != before.get(name))
    if not changed:
        return
    said = f"{folder}: {', '.join(changed)} changed since this run began"
    if not allowed:
        raise InputError(f"{said}: put the data back, give another output=, or go on with what is there now by --allow-changed-data")
    _log.warning(f"{said}: it goes on with what is there now")


def claim(config: Config, inputs: Mapping[str, str]) -> None:
    """Writes what the run is into its folder: once everything is found to fit, so that a corrected recipe finds it free."""
    with whole_file(config.output / INPUTS) as file:
        json.dump(dict(inputs), file, indent=1)
    with whole_file(config.output / CONFIG) as file:
        yaml.safe_dump(config.model_dump(mode="json"), file, sort_keys=False, allow_unicode=True)


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder to export into: what it holds when the block ends well takes its place in `output`, and the run is finished.

    Raises MachineError where the machine refuses to write; the run can then be gone on with.
    """
    stage = output / STAGE
    with writing(stage, "the same command exports again once there is room"):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        yield stage
        for made in sorted(stage.iterdir()):
            place = output / made.name
            shutil.rmtree(place, ignore_errors=True)
            made.replace(place)
        stage.rmdir()
        with whole_file(output / FINISHED) as file:
            json.dump({"finished": True}, file)


@contextmanager
def writing(where: Path, then: str) -> Iterator[None]:
    """Turns what writers raise where there is no room, or no permission, into a MachineError that says what to do `then`."""
    from safetensors import SafetensorError

    try:
        yield
    except FirstrankError:
        raise
    except OSError as error:
        raise MachineError(f"{where}: cannot be written: {error.strerror or error}; {then}") from error
    except SafetensorError as error:
        raise MachineError(f"{where}: cannot be written: {error}; {then}") from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "inline_container" not in str(error):
            raise
        raise MachineError(f"{where}: cannot be written: {str(error).splitlines()[0]}; {then}") from error


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: its state is written last."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    return str(max(whole, key=step_of)) if whole else None


def discard_partial(folder: Path) -> None:
    """Removes checkpoints that a killed process, or a full disk, left half written."""
    for path in folder.glob("checkpoint-*"):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def step_of(checkpoint: str | Path) -> int:
    return int(str(checkpoint).rpartition("-")[2])
