"""A model's folder for engines that take a folder as it is: with the layers and the final norm that its settings say, written once."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path

from firstrank.reranker.config import cache_dir
from firstrank.reranker.models.folder import is_adapter
from firstrank.reranker.models.network import load_network
from firstrank.reranker.models.quiet import quiet
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.models.weights import made_once
from firstrank.reranker.runs.files import fingerprint

_FORM = 1
"""of what `_write` writes; a new number makes caches write anew"""


def engine_folder(spec: ModelSpec, path: Path) -> Path:
    """`path`, or where the settings keep a part of the network, a folder of the cache that holds that part alone; an adapter stays one.

    Raises ModelError for weights that cannot be read, MachineError for a full disk.
    """
    if (spec.layers is None and spec.norm == "own") or is_adapter(path):
        return path
    digest = hashlib.sha256(f"{_FORM} {fingerprint(path)} {spec.layers} {spec.norm}".encode()).hexdigest()
    return made_once(cache_dir() / "models" / f"{path.name}-part-{digest[:12]}", partial(_write, spec, path))


def _write(spec: ModelSpec, path: Path, folder: Path) -> None:
    network = load_network(spec.name, path, None, layers=spec.layers, norm=spec.norm)
    with quiet():
        network.save_pretrained(folder)
    for file in path.iterdir():
        if file.is_file() and ("token" in file.name or file.suffix in (".jinja", ".model")) and not (folder / file.name).exists():
            shutil.copy(file, folder)
