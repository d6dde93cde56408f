"""Keeps tests of changed code from harm: an audit hook that lets them change temporary files only, locks, and stores of texts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from firstrank.reranker.config import cache_dir

_CHANGES = frozenset(f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "link", "symlink", "truncate", "chmod", "chown"))


def stay_within(event: str, words: tuple[Any, ...]) -> None:
    """For `sys.addaudithook`: while a test runs, PermissionError for what is moved, removed or made outside of the temporary folder.

    Changed code may take a device for a file. What is named relative to an open folder is left alone: those are temporary.
    """
    if "PYTEST_CURRENT_TEST" not in os.environ or (event not in _CHANGES and event != "open"):
        return
    paths = [Path(os.fsdecode(one)) for one in words if isinstance(one, str | bytes | os.PathLike)]
    if event == "open":
        makes = isinstance(words[2], int) and words[2] & (os.O_CREAT | os.O_TRUNC)
        paths = [path for path in paths[:1] if makes and (path.is_file() or not path.exists())]
    elif event == "os.symlink":
        paths = paths[1:]
    inside = Path(tempfile.gettempdir()).resolve(), (cache_dir() / "texts").resolve()
    for path in paths:
        if path.is_absolute() and path.suffix != ".lock" and not any(path.parent.resolve().is_relative_to(folder) for folder in inside):
            raise PermissionError(f"{path} is outside of the temporary folder")
