"""One recipe: `firstrank train CONFIG.yaml key=value …`. Everything that a run is made of, validated before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from firstrank.reranker.config import config_dir, read_yaml
from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.template import Template
from firstrank.training.sections import (
    Batching,
    Checkpoints,
    Dev,
    Difficulty,
    Draw,
    Export,
    Log,
    Loss,
    Optimiser,
    Reweighting,
    Section,
    Serve,
    Tuning,
)

OVER_LISTS = ("wasserstein",)
"""losses that compare the lists of a forward pass with each other"""


class Config(Section):
    """A recipe."""

    model: str = Field(default="first-smollm2", description="a name, a folder, or a Hugging Face id")
    revision: str | None = None
    answer: Literal["logits", "permutation", "marks"] | None = Field(
        default=None, description="in place of the model's own; marks: the exported model is what the probe reads"
    )
    template: str | Template | None = Field(default=None, description="in place of the model's own")
    context: PositiveInt | None = Field(default=None, description="tokens of a prompt, in place of the model's own")
    chat: Mapping[str, Any] | None = Field(default=None, description="options of the chat template, in place of the model's own")
    train: tuple[Path, ...] = Field(min_length=1, description="files of examples (JSONL)")
    weights: tuple[PositiveFloat, ...] | None = Field(
        default=None, description="of the files, in their order: how often an epoch takes each example of one; 0.5 is every other"
    )
    output: Path
    seed: int = 0
    epochs: PositiveFloat = 1.0
    steps: PositiveInt | None = Field(default=None, description="in place of epochs")
    threads: PositiveInt | None = Field(default=None, description="CPU threads; by default torch's own number")
    draw: Draw = Draw()
    serve: Serve = Serve()
    loss: Loss = Loss()
    difficulty: Difficulty | None = None
    reweighting: Reweighting | None = None
    tuning: Tuning = Tuning()
    optimiser: Optimiser = Optimiser()
    batch: Batching = Batching()
    dev: Dev | None = None
    checkpoints: Checkpoints = Checkpoints()
    log: Log = Log()
    export: Export = Export()

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("train"), (str, Path)):
            return fields | {"train": [fields["train"]]}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dev and self.checkpoints.every % self.dev.every:
            raise ValueError("checkpoints.every must be a multiple of dev.every, so that the best weights are kept")
        if self.reweighting and self.batch.step < 2:
            raise ValueError("reweighting: compares the windows of a step; say batch.windows=8")
        if self.weights is not None and len(self.weights) != len(self.train):
            raise ValueError(f"weights: {len(self.weights)} for {len(self.train)} files of train; give one for each")
        ranked = self.loss.rank.weight.ever or self.loss.probe.weight
        if self.loss.rank.name in OVER_LISTS and ranked and self.batch.windows < 2:
            raise ValueError(f"loss.rank.name: {self.loss.rank.name} compares the windows of a forward pass; say batch.windows=8")
        if self.loss.start.weight and self.tuning.method != "lora":
            raise ValueError("loss.start: needs the weights as they were, which only an adapter leaves: tuning.method=lora")
        return self


def read_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """A recipe from a file, or by the name of one in `configs/training/`, with `key=value` overrides (`optimiser.lr=1e-4`).

    Raises InputError that names the key, and the override where that is what said it.
    """
    path = Path(source)
    shipped = config_dir() / "training" / f"{source}.yaml"
    path = shipped if not path.is_file() and shipped.is_file() else path
    if not path.is_file():
        names = sorted(file.stem for file in shipped.parent.glob("*.yaml"))
        raise InputError(f"{source}: no such recipe{_meant(str(source), names)}; give a YAML file, or one of {', '.join(names)}")
    fields = read_yaml(path)
    for override in overrides:
        _set(fields, override)
    try:
        return Config.model_validate(fields)
    except ValidationError as error:
        raise InputError("\n".join(_told(one, path, overrides) for one in error.errors())) from error


def _told(found: Any, path: Path, overrides: Sequence[str]) -> str:
    """One finding: who said it (the file or an override), the key, and what is wrong."""
    key = ".".join(map(str, found["loc"]))
    by = next((one for one in overrides if _touches(one.partition("=")[0], key)), None)
    said = f"{found['msg'].removeprefix('Value error, ')}"
    if found["type"] == "extra_forbidden":
        said = f"there is no such key{_meant_key(key)}"
    return f"{path if by is None else by}: {key or 'the whole'}: {said}"


def _touches(given: str, key: str) -> bool:
    """Whether an override of `given` said what is found at `key`, or (a section's check) something within it."""
    return (bool(key) and f"{key}.".startswith(f"{given}.")) or (bool(key) and f"{given}.".startswith(f"{key}."))


def keys_of(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The names of all keys, those of sections within written with dots."""
    for name, field in section.model_fields.items():
        yield prefix + name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from keys_of(inner, f"{prefix}{name}.")


def _meant_key(key: str) -> str:
    """A key of that name elsewhere, else the nearest of the same section, else the nearest of all."""
    known = list(keys_of(Config))
    section, _, name = key.rpartition(".")
    beside = [one for one in known if one.rpartition(".")[0] == section]
    return _meant(name, [one for one in known if one.rpartition(".")[2] == name], 0.0) or _meant(key, beside) or _meant(key, known)


def _meant(name: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    return "".join(f" (did you mean {one}?)" for one in get_close_matches(name, known, 1, cutoff))


def _set(fields: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r}: write key=value, say optimiser.lr=1e-4")
    *sections, last = key.split(".")
    for section in sections:
        inner = fields.get(section)
        fields[section] = dict(inner) if isinstance(inner, dict) else {}
        fields = fields[section]
    try:
        fields[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from error
