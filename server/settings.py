"""The service's settings: flags, environment (`FIRSTRANK_…`), a YAML file, defaults, in that order.

The one source of truth: flags, their help and the table in docs/server.md are made from the fields below.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from firstrank.reranker.config import read_yaml
from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers import rules
from firstrank.reranker.setup import Setup, read_settings
from firstrank.reranker.strategies.register import parse_strategy

PREFIX = "FIRSTRANK_"


def setting(panel: str, text: str, default: Any, **constraints: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"panel": panel}, **constraints)


def _listed(given: Any) -> Any:
    """`a,b` as the environment says it, or a list as flags do."""
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given


def _paired(given: Any) -> Any:
    """`a=x,b` or a list of such -> {a: x, b: None}."""
    if isinstance(given, Mapping):
        return given
    pairs = [part.partition("=") for part in _listed(given)]
    return {name.strip(): source.strip() or None for name, _, source in pairs}


def _models(given: Any) -> Any:
    return {name: {"source": source} if source is None or isinstance(source, str) else source for name, source in _paired(given).items()}


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class ModelSettings(BaseModel):
    """How a model runs. What a model of the file does not say, the service's own settings do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["transformers", "vllm", "openai"] = setting("Model", "What scores the windows.", "transformers")
    base_url: Listed = setting("Model", "openai: a server's address; several are balanced.", ())
    engine_arg: Listed = setting("Model", "vllm, openai: a setting of the engine, KEY=VALUE; several.", ())
    device: str | None = setting("Model", "auto, cpu, cuda or mps.", None)
    dtype: str | None = setting("Model", "float32, bfloat16, float16 or int8 (CPUs); by default the fastest here.", None)
    threads: int | None = setting("Model", "CPU threads of the model.", None, ge=1)
    lanes: int | None = setting("Model", "CPU: windows at once, which share the threads.", None, ge=1)
    instruction: str | None = setting("Model", "What is searched for, for requests that do not say it.", None)
    revision: str | None = setting("Model", "The model's revision on the hub.", None)
    prior: str | None = setting("Model", "Cheap scorers before the model: dense:minilm=0.5,sparse:splade-tiny=0.5, or none.", None)
    prior_depth: int | None = setting("Model", "The best by the prior that the model reads; by default the model's.", None, ge=0)
    fuse: float | None = setting("Model", "The prior's weight in the final score; by default the model's.", None, ge=0)
    cascade: str | None = setting("Model", "A larger model, for the windows of which this one is unsure.", None)
    defer_budget: float | None = setting(
        "Model", "The share of a request's windows that the larger model may see; by default 0.3.", None, ge=0, le=1
    )
    defer_rule: str | None = setting(
        "Model", "How unsure the model is: entropy, margin, or a learned rule's file; by default entropy.", None
    )
    strategy: str | None = setting("Windows", "The strategy of requests that name none; by default the model's.", None)
    window: int | Literal["auto"] | None = setting("Windows", "Passages per window, or auto; by default the model's.", None)
    stride: int | None = setting("Windows", "Places that the window moves; by default the model's.", None, ge=1)
    passes: int | None = setting("Windows", "Times over the list.", None, ge=1)
    seed: int = setting("Windows", "For strategies that draw.", 0)
    check: Literal["off", "warn", "strict"] = setting(
        "Model", "At start a dozen obvious questions are asked: a model that fails is warned of, or (strict) refused.", "warn"
    )
    slots: int | None = setting("Windows", "Requests ranked at a time; by default what keeps the backend busy.", None, ge=1)

    @field_validator("strategy")
    @classmethod
    def _known(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_strategy(text)
        except InputError as error:
            raise ValueError(str(error)) from error
        return text

    @field_validator("window", mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given


class Served(ModelSettings):
    """One model of the service."""

    source: str | None = Field(None, description="a name, a folder or a Hugging Face id; by default the name under which it is served")


class Settings(ModelSettings, BaseSettings):
    """Everything that `firstrank serve` can be told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = setting("Service", "Address to listen on.", "127.0.0.1")
    port: int = setting("Service", "Port to listen on; 0 takes a free one.", 8000, ge=0, le=65535)
    config: Path | None = setting("Service", "A YAML file of these settings.", None)
    model: Annotated[dict[str, Served], NoDecode, BeforeValidator(_models)] = setting(
        "Model",
        "A model to serve: NAME, or NAME=SOURCE (a name, folder or Hugging Face id). The first answers requests that name none.",
        {"default": Served(source=None)},
    )
    alias: Annotated[dict[str, str], NoDecode, BeforeValidator(_paired)] = setting(
        "Model", "Another name for a model: rerank-v3.5=default. *=default takes every name.", {}
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_listed)] = setting(
        "Access", "Bearer keys; any of them opens the service. Without any it is open.", ()
    )
    api_keys_file: Path | None = setting("Access", "A file of bearer keys, one a line.", None)
    rate_limit: int | None = setting("Access", "Requests a minute for each key.", None, ge=1)
    cors_origins: Listed = setting("Access", "Origins whose pages may call the service from a browser; * means any.", ())
    max_body_bytes: int = setting("Limits", "Bytes of a request's body.", 8 << 20, ge=1)
    max_documents: int = setting("Limits", "Documents of a request.", 1000, ge=1)
    max_document_chars: int = setting("Limits", "Characters of a document that are read; the rest is cut off.", 100_000, ge=1)
    max_query_chars: int = setting("Limits", "Characters of a query.", 8_000, ge=1)
    max_queue: int = setting("Limits", "Requests that wait for a slot; one more is answered 429.", 128, ge=0)
    timeout: float = setting("Limits", "Seconds a request may take; X-Request-Timeout may ask for less.", 120.0, gt=0, allow_inf_nan=False)
    read_timeout: float = setting("Limits", "Seconds a client may take to send a body.", 15.0, gt=0, allow_inf_nan=False)
    drain: float = setting("Service", "Seconds that running requests have when the service is stopped.", 30.0, ge=0, allow_inf_nan=False)
    log_level: Literal["debug", "info", "warning", "error"] = setting("Service", "What is logged.", "info")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        flags = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        path = flags.get("config") or os.environ.get(f"{PREFIX}CONFIG")
        if not path:
            return init_settings, env_settings
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=read_yaml(Path(path)))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.model:
            raise ValueError("model: name at least one to serve")
        if unknown := sorted(set(self.alias.values()) - set(self.model)):
            raise ValueError(f"alias: {unknown[0]!r} is not served; served are {', '.join(self.model)}")
        return self

    def check_effects(self) -> None:
        """Raises InputError for a setting that has no effect beside the others, and for one that no model can have."""
        here = self.model_dump(include=self.model_fields_set - {"model"})
        for name, served in self.model.items():
            given = here | served.model_dump(include=served.model_fields_set - {"source"})
            rules.check({field: value for field, value in given.items() if value not in (None, ())}, _flag, "serve")
            self.setup(name)

    def keys(self) -> tuple[str, ...]:
        """All bearer keys, from the setting and from the file. Raises InputError where the file cannot be read or holds none."""
        keys = [key.get_secret_value().strip() for key in self.api_keys]
        if self.api_keys_file is not None:
            try:
                lines = self.api_keys_file.read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                raise InputError(f"api_keys_file {self.api_keys_file}: cannot be read: {error}") from error
            found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            if not found:
                raise InputError(f"api_keys_file {self.api_keys_file}: holds no key; write one a line")
            keys += found
        return tuple(dict.fromkeys(filter(None, keys)))

    def model_settings(self, name: str) -> ModelSettings:
        """How the model `name` runs: what it says itself, else what the service says."""
        served = self.model[name]
        return ModelSettings(
            **{field: getattr(served if field in served.model_fields_set else self, field) for field in ModelSettings.model_fields}
        )

    def setup(self, name: str) -> Setup:
        """What it takes to open the model `name`."""
        given = self.model_settings(name).model_dump(exclude={"slots", "check"}, exclude_none=True)
        return Setup.of(self.model[name].source or name, **read_settings(given))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def load_settings(**flags: Any) -> Settings:
    """The settings, with `flags` above all other sources. Raises InputError that names the setting and says what is wrong."""
    try:
        settings = Settings(**flags)
        settings.keys()
        settings.check_effects()
        return settings
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors()]
        problems = "; ".join(found).replace("Value error, ", "")
        raise InputError(f"{problems} (a flag --NAME, the environment's {PREFIX}NAME, or the config file)") from error
    except (SettingsError, OSError) as error:
        raise InputError(f"settings: {error}") from error
