"""The service's settings: flags, environment (`FIRSTRANK_…`), a YAML file, defaults, in that order.

The one source of truth: flags, their help and the table in docs/server.md are made from the fields below.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers import rules
from firstrank.reranker.setup import Setup, read_settings
from firstrank.reranker.strategies.register import STRATEGIES, parse_strategy
from firstrank.server.keys import ApiKey, Limits, read_keys
from firstrank.server.sources import merged, split, split_pairs


def setting(panel: str, text: str, default: Any, **constraints: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"panel": panel}, **constraints)


def _paired(given: Any) -> Any:
    """`a=x,b` or a list of such -> {a: x, b: None}. Raises ValueError for a name that is given twice."""
    if isinstance(given, Mapping):
        return given
    pairs = [(name.strip(), source.strip() or None) for name, _, source in (part.partition("=") for part in split(given))]
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is given twice")
    return dict(pairs)


def _models(given: Any) -> Any:
    return {name: {"source": source} if source is None or isinstance(source, str) else source for name, source in _paired(given).items()}


def _keys(given: Any) -> Any:
    return [ApiKey.parse(one) for one in split([given] if isinstance(given, Mapping) else given)]


Listed = Annotated[tuple[str, ...], BeforeValidator(split)]
Pairs = Annotated[tuple[str, ...], BeforeValidator(split_pairs)]


class ModelSettings(BaseModel):
    """How a model runs. What a model of the file does not say, the service's own settings do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["transformers", "vllm", "openai", "chat", "decisions"] = setting("Model", "What scores the windows.", "transformers")
    base_url: Listed = setting("Model", "openai, chat, decisions: a server's address; give several to share the load.", ())
    engine_arg: Pairs = setting("Model", "vllm and servers: a setting of the engine, KEY=VALUE; may be given several times.", ())
    max_cost: float | None = setting(
        "Model", "chat: the most that all windows may cost, in US dollars; the model's YAML has the prices.", None, gt=0
    )
    device: str | None = setting("Model", "auto, cpu, cuda or mps.", None)
    dtype: str | None = setting(
        "Model", "float32, bfloat16, float16 or int8 (CPUs) or fp8 (GPUs); by default the fastest safe one here.", None
    )
    threads: int | None = setting("Model", "CPU threads of the model.", None, ge=1)
    lanes: int | None = setting("Model", "CPU: how many windows run at once and share the threads.", None, ge=1)
    instruction: str | None = setting("Model", "What to search for, for requests that do not say it.", None)
    revision: str | None = setting("Model", "The model's revision on the Hugging Face hub.", None)
    calibration: str | None = setting("Model", "Probabilities: a file of firstrank calibrate, or none; by default the model's own.", None)
    prior: str | None = setting(
        "Model", "Cheap scorers that read all candidates first: dense:minilm=0.5,sparse:splade-tiny=0.5, or none.", None
    )
    prior_depth: int | None = setting(
        "Model", "How many candidates the model reads, the prior's best first; by default the model's.", None, ge=0
    )
    fuse: float | None = setting("Model", "The prior's weight in the final score; by default the model's.", None, ge=0)
    cascade: str | None = setting("Model", "A larger model that scores the windows where this one is unsure.", None)
    defer_budget: float | None = setting(
        "Model", "The largest share of a request's windows that the larger model may score; by default 0.3.", None, ge=0, le=1
    )
    defer_rule: str | None = setting("Model", "How to measure doubt: entropy (the default), margin, or the file of a learned rule.", None)
    strategy: str | None = setting("Windows", "The strategy of requests that name none; by default the model's.", None)
    window: int | Literal["auto"] | None = setting("Windows", "Passages per window, or auto; by default the model's.", None)
    stride: int | None = setting("Windows", "How many places the window moves each time; by default the model's.", None, ge=1)
    passes: int | None = setting("Windows", "How many times the strategy goes over the list.", None, ge=1)
    seed: int = setting("Windows", "The random seed, for strategies that draw.", 0)
    check: Literal["off", "warn", "strict"] = setting(
        "Model", "At start, ask the model a dozen questions with obvious answers. If it fails, warn, or refuse it (strict).", "warn"
    )
    slots: int | None = setting(
        "Windows",
        "How many requests of several windows are ranked at a time; each client may have one. By default 8, or what the backend needs.",
        None,
        ge=1,
    )

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


class Settings(ModelSettings):
    """Everything that `firstrank serve` can be told."""

    host: str = setting("Service", "The address to listen on.", "127.0.0.1")
    port: int = setting("Service", "The port to listen on; 0 takes a free one.", 8000, ge=0, le=65535)
    unix_socket: Path | None = setting("Service", "A socket file to listen on, instead of host and port.", None)
    config: Path | None = setting("Service", "A YAML file of these settings.", None)
    model: Annotated[dict[str, Served], BeforeValidator(_models)] = setting(
        "Model",
        "A model to serve: NAME, or NAME=SOURCE (a name, folder or Hugging Face id). The first answers requests that name none.",
        {"default": Served(source=None)},
    )
    alias: Annotated[dict[str, str], BeforeValidator(_paired)] = setting(
        "Model", "Another name for a model: rerank-v3.5=default. *=default takes every name.", {}
    )
    strategies: Listed = setting(
        "Windows",
        "Strategies that a request may name, beside the model's own.",
        ("sliding", "full", "topdown", "tournament", "blitz", "pointwise"),
    )
    max_windows: int = setting("Windows", "Windows per request, at most.", 1000, ge=1)
    api_keys: Annotated[tuple[ApiKey, ...], BeforeValidator(_keys)] = setting(
        "Access",
        "Bearer keys: KEY, or 'KEY name=search scopes=rank+metrics expires=2027-01-31 rate_limit=60'. Without any key the service is open.",
        (),
    )
    api_keys_file: Path | None = setting("Access", "A file of such keys, one a line.", None)
    rate_limit: int | None = setting("Access", "Rerank requests per minute and key.", None, ge=1)
    document_rate_limit: int | None = setting("Access", "Documents per minute and key.", None, ge=1)
    token_rate_limit: int | None = setting("Access", "Tokens per minute and key that the model reads and writes.", None, ge=1)
    cors_origins: Listed = setting("Access", "Origins whose web pages may call the service from a browser; * means any.", ())
    allowed_hosts: Listed = setting("Access", "Names that the Host header may have, for example *.example.org; by default any.", ())
    trusted_proxies: Listed = setting(
        "Access", "Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted: 10.0.0.0/8, or *.", ()
    )
    root_path: str = setting(
        "Access", "The path under which a proxy shows the service, for example /rerank-service.", "", pattern=r"^(/[\w.~-]+)*$"
    )
    tls_cert: Path | None = setting("Access", "A certificate with its chain (PEM): the service speaks HTTPS.", None)
    tls_key: Path | None = setting("Access", "The certificate's key (PEM).", None)
    max_body_bytes: int = setting("Limits", "Bytes of a request's body after decompression, at most.", 8 << 20, ge=1)
    max_documents: int = setting("Limits", "Documents per request, at most.", 1000, ge=1)
    max_document_chars: int = setting("Limits", "Characters of a document that are read. The rest is cut off.", 100_000, ge=1)
    max_query_chars: int = setting("Limits", "Characters of a query, at most.", 8_000, ge=1)
    max_queue: int = setting("Limits", "How many requests may wait for a slot. One more gets the answer 429.", 128, ge=0)
    timeout: float = setting(
        "Limits", "Seconds that a request may take; the header X-Request-Timeout may ask for less.", 120.0, gt=0, allow_inf_nan=False
    )
    header_timeout: float = setting("Limits", "Seconds a client may take to send a request's headers.", 10.0, gt=0, allow_inf_nan=False)
    read_timeout: float = setting("Limits", "Seconds a client may take to send a body.", 15.0, gt=0, allow_inf_nan=False)
    keep_alive: float = setting(
        "Limits",
        "Seconds that a connection may be idle between requests. Set it above the proxy's own time.",
        75.0,
        gt=0,
        allow_inf_nan=False,
    )
    max_connections: int = setting(
        "Limits", "Connections at a time. One more closes the connection that has been idle longest.", 1000, ge=1
    )
    max_reading_bytes: int = setting("Limits", "Bytes of all bodies that are being read, together.", 256 << 20, ge=1)
    drain: float = setting(
        "Service", "Seconds that running requests have to finish when the service is stopped.", 30.0, ge=0, allow_inf_nan=False
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("Service", "The lowest level that is logged.", "info")
    otlp_endpoint: str | None = setting(
        "Service", "Where traces go: http://collector:4318 (OpenTelemetry over HTTP; pip install 'firstrank[otel]').", None
    )

    @field_validator("strategies")
    @classmethod
    def _strategies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(names) - set(STRATEGIES)):
            raise ValueError(f"{unknown[0]!r} is no strategy; there are {', '.join(STRATEGIES)}")
        return names

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.model:
            raise ValueError("model: name at least one to serve")
        if unknown := sorted(set(self.alias.values()) - set(self.model)):
            raise ValueError(f"alias: {unknown[0]!r} is not served; served are {', '.join(self.model)}")
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("tls_cert, tls_key: give both or none")
        return self

    def check_effects(self) -> None:
        """Raises InputError for a setting that has no effect beside the others, and for one that no model can have."""
        here = self.model_dump(include=self.model_fields_set - {"model"})
        for name, served in self.model.items():
            given = here | served.model_dump(include=served.model_fields_set - {"source"})
            rules.check({field: value for field, value in given.items() if value not in (None, ())}, _flag, "serve")
            self.setup(name)

    def limits(self) -> Limits:
        """What each key may ask for, where it does not say so itself."""
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields})

    def keys(self) -> tuple[ApiKey, ...]:
        """All bearer keys, from the setting and from the file. Raises InputError where the file cannot be read or holds none."""
        keys = (*self.api_keys, *(read_keys(self.api_keys_file) if self.api_keys_file is not None else ()))
        return tuple({key.digest: key for key in keys}.values())

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
    """The settings, with `flags` above all other sources. Raises InputError that names the setting and where it was said."""
    found, said = merged(flags, Settings.model_fields)
    try:
        settings = Settings.model_validate(found)
    except ValidationError as error:
        problems = []
        for one in error.errors():
            name = str(one["loc"][0]) if one["loc"] else ""
            where = f" ({said[name]})" if name in said else ""
            problems.append(f"{'.'.join(map(str, one['loc']))}: {one['msg']}{where}".removeprefix(": ").replace("Value error, ", ""))
        raise InputError("; ".join(problems)) from error
    settings.keys()
    settings.check_effects()
    return settings
