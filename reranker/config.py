"""Where Firstrank keeps things: shipped configuration, and the user's cache."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path


def config_dir() -> Path:
    """`configs/`: inside the package `firstrank`, which in a checkout has a link to it."""
    return Path(str(files("firstrank"))) / "configs"


def cache_dir() -> Path:
    """`FIRSTRANK_CACHE`, else `$XDG_CACHE_HOME/firstrank`, else `~/.cache/firstrank`. Not created here."""
    if named := os.environ.get("FIRSTRANK_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstrank"
