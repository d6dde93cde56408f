"""Where Firstrank keeps things: shipped configuration, and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """`configs/`: beside the packages in a checkout, inside `reranker` in an installed wheel."""
    package = Path(__file__).resolve().parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def cache_dir() -> Path:
    """`FIRSTRANK_CACHE`, else `$XDG_CACHE_HOME/firstrank`, else `~/.cache/firstrank`. Not created here."""
    if named := os.environ.get("FIRSTRANK_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstrank"
