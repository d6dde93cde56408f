"""Standard input and output, and pipes, where a command takes a file: `-`, `/dev/stdin`, `<(zcat run.gz)`.

What can be read only once is copied to a temporary file before the command begins, for inputs are read more than once: for their hash,
which says whether an interrupted batch may go on, and for what they hold.
"""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path
from typing import IO, Any, cast

from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.runs.files import temporary_folder

_STANDARD = ("-", "/dev/stdin", "/dev/fd/0")


def is_stream(value: str) -> bool:
    """Whether a source can be read only once: standard input, or a pipe."""
    if value in _STANDARD:
        return True
    try:
        return stat.S_ISFIFO(Path(value).stat().st_mode) if "\n" not in value else False
    except (OSError, ValueError):
        return False


def spooled(context: Any, names: tuple[str, ...], flags: dict[str, str]) -> None:
    """Replaces the streams among these parameters by files that are there until the command ends.

    Raises InputError where two of them are standard input, MachineError for a full disk.
    """
    waiting = [name for name in names if name in context.params and any(map(is_stream, _texts(context.params[name])))]
    standard = [flags[name] for name in waiting for text in _texts(context.params[name]) if text in _STANDARD]
    if len(standard) > 1:
        raise InputError(f"{', '.join(standard)}: read standard input, which can be read by one of them only: give the others files")
    if not waiting:
        return
    folder = temporary_folder()
    context.call_on_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    for name in waiting:
        value = context.params[name]
        if isinstance(value, list):
            context.params[name] = [_file(one, folder, f"{name}-{place}") for place, one in enumerate(value)]
        else:
            context.params[name] = _file(value, folder, name)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [str(one) for one in values if isinstance(one, (str, Path))]


def _file(value: Any, folder: Path, name: str) -> Any:
    if not is_stream(str(value)):
        return value
    file = folder / (f"{name}-from-standard-input" if str(value) in _STANDARD else f"{name}-from-a-pipe")
    try:
        with file.open("wb") as copy:
            if str(value) in _STANDARD:
                shutil.copyfileobj(cast(IO[bytes], sys.stdin.buffer), copy)
            else:
                with Path(value).open("rb") as pipe:
                    shutil.copyfileobj(pipe, copy)
    except OSError as error:
        raise MachineError(f"{value}: cannot be kept in {folder}: {error.strerror or error}; set TMPDIR to a folder with room") from error
    return type(value)(str(file)) if isinstance(value, str) else file
