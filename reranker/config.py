"""Where Firstrank keeps things: shipped configuration, and the user's cache; and how a file of settings is read."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from firstrank.reranker.errors import InputError


def config_dir() -> Path:
    """`configs/`: inside the package `firstrank`, which in a checkout has a link to it."""
    return Path(str(files("firstrank"))) / "configs"


def cache_dir() -> Path:
    """`FIRSTRANK_CACHE`, else `$XDG_CACHE_HOME/firstrank`, else `~/.cache/firstrank`. Not created here."""
    if named := os.environ.get("FIRSTRANK_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstrank"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises InputError that names file and line."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: must be a mapping, with `key: value` on each line")
    return found


def explained(error: ValidationError) -> str:
    """pydantic's findings, one after another: field and problem."""
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in error.errors())
