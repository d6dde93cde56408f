"""What scores windows, by name: each backend, its options, and the scorer that they open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.chat.options import ChatOptions, ChatSettings
from firstrank.reranker.scorers.decisions.options import DecisionOptions, DecisionSettings
from firstrank.reranker.scorers.openai.options import OpenAIOptions, ServerSettings, server_settings
from firstrank.reranker.scorers.transformers.options import Device, TransformersOptions
from firstrank.reranker.scorers.vllm.options import VLLMOptions
from firstrank.reranker.scorers.vllm.settings import parsed_settings
from firstrank.reranker.types import Answer, Backend

if TYPE_CHECKING:
    from pydantic import BaseModel

    from firstrank.reranker.models.loaded import Model
    from firstrank.reranker.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Oracle:
    """`--backend oracle`: judgments in place of a model."""

    qrels: Qrels = field(repr=False)
    source: str = ""
    """where the judgments were read"""
    noise: float = 0.0


BackendOptions = TransformersOptions | VLLMOptions | OpenAIOptions | ChatOptions | DecisionOptions | Oracle
"""a backend's options, which say which backend it is"""

_CLASSES: Mapping[Backend, type[BackendOptions]] = {
    Backend.transformers: TransformersOptions,
    Backend.vllm: VLLMOptions,
    Backend.openai: OpenAIOptions,
    Backend.chat: ChatOptions,
    Backend.decisions: DecisionOptions,
    Backend.oracle: Oracle,
}


_SERVERS: Mapping[type, type[BaseModel]] = {OpenAIOptions: ServerSettings, ChatOptions: ChatSettings, DecisionOptions: DecisionSettings}
"""what may be said of the servers that a backend asks"""

HOSTED = (ChatOptions, DecisionOptions)
"""a model is a name at a host, and has no folder"""


class BackendSettings(TypedDict, total=False):
    """Every name by which a backend's options can be said; None leaves a default."""

    device: Device | None
    dtype: str | None
    threads: int | None
    lanes: int | None
    batch_tokens: int | None
    constrained: bool | None
    base_urls: Sequence[str] | None
    engine: Mapping[str, Any] | None
    """of vLLM (EngineSettings), or of the servers (ServerSettings, ChatSettings, DecisionSettings)"""
    max_cost: float | None
    transport: Any
    qrels: Qrels | None
    source: str | None
    noise: float | None


def backends_with(setting: str) -> tuple[Backend, ...]:
    """Those that have a setting of that name."""
    return tuple(backend for backend, kind in _CLASSES.items() if setting in _settings_of(kind))


def backend_of(options: BackendOptions) -> Backend:
    return next(backend for backend, kind in _CLASSES.items() if isinstance(options, kind))


def backend_options(backend: str = Backend.transformers, **settings: Unpack[BackendSettings]) -> BackendOptions:
    """A backend's options from their names. Raises InputError for an unknown backend, and for a setting that it does not have."""
    if backend not in list(Backend):
        raise InputError(f"backend {backend!r}: unknown; there are {', '.join(Backend)}")
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    kind = _CLASSES[Backend(backend)]
    legal = _settings_of(kind)
    if unknown := sorted(given.keys() - set(legal)):
        raise InputError(f"backend {str(backend)!r} has no option {', '.join(unknown)}; it has {', '.join(legal)}")
    if "base_urls" in given:
        given["base_urls"] = tuple(given["base_urls"])
    if kind is VLLMOptions and "engine" in given:
        given["engine"] = parsed_settings(given["engine"])
    if kind in _SERVERS and "engine" in given:
        given["server"] = server_settings(given.pop("engine"), _SERVERS[kind], backend)
    if kind is Oracle and "qrels" not in given:
        raise InputError("backend oracle: it scores by judgments, so give qrels (--qrels)")
    return kind(**given)


def _settings_of(kind: type[BackendOptions]) -> list[str]:
    return [one.name for one in fields(kind) if one.name != "server"] + (["engine"] if kind in _SERVERS else [])


def open_scorer(
    model: str,
    backend: str | BackendOptions = Backend.transformers,
    *,
    revision: str | None = None,
    answer: Answer | None = None,
    seed: int = 0,
    instruction: str | None = None,
    **settings: Unpack[BackendSettings],
) -> tuple[Scorer, ModelSpec]:
    """A scorer for a model's name, and the model's own settings; an oracle has none, and gets the defaults.

    The backend's options come whole, or by their names. `answer` is in place of the model's own; `seed` is the oracle's.
    `instruction` is for requests that bring none, in place of the template's own.
    Raises InputError for an unknown backend or option, ModelError for a model that cannot be used, MissingExtra.
    """
    from firstrank.reranker.models.loaded import load_model
    from firstrank.reranker.models.progress import working
    from firstrank.reranker.models.spec import ModelSpec

    if isinstance(backend, str):
        backend = backend_options(backend, **settings)
    elif settings:
        raise InputError(f"{', '.join(settings)}: the backend's options are already given as one object: set it there")
    if isinstance(backend, Oracle):
        from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer

        return OracleScorer(backend.qrels, OracleOptions(noise=backend.noise, seed=seed)), ModelSpec()
    if isinstance(backend, HOSTED):
        return _open_hosted(backend, spec_of(model, backend).instructed(instruction))
    if isinstance(backend, OpenAIOptions):
        backend.servers()  # no model is fetched for none
    with working(f"loading model {model}"):
        loaded = load_model(
            model,
            revision=revision,
            answer=answer,
            changed=lambda spec: _running(spec, backend).instructed(instruction),
            tensors=not isinstance(backend, OpenAIOptions),
        )
        return _scorer(loaded, backend), loaded.spec


def _scorer(model: Model, options: TransformersOptions | VLLMOptions | OpenAIOptions) -> Scorer:
    if isinstance(options, VLLMOptions):
        from firstrank.reranker.scorers.vllm.scorer import VLLMScorer

        return VLLMScorer(model, options)
    if isinstance(options, OpenAIOptions):
        from firstrank.reranker.scorers.openai.scorer import OpenAIScorer

        return OpenAIScorer(model, options)
    from firstrank.reranker.scorers.transformers.scorer import TransformersScorer

    return TransformersScorer(model, options)


def spec_of(model: str, backend: BackendOptions) -> ModelSpec:
    """What is said of a model where it runs so; an oracle has none, and gets the defaults. Fetches nothing."""
    from firstrank.reranker.models.catalog import read_settings
    from firstrank.reranker.models.remote import remote_settings
    from firstrank.reranker.models.spec import ModelSpec

    if isinstance(backend, Oracle):
        return ModelSpec()
    if isinstance(backend, HOSTED):
        return _running(remote_settings(model, "chat" if isinstance(backend, ChatOptions) else "decision"), backend)
    return _running(read_settings(model), backend)


def _running(spec: ModelSpec, backend: BackendOptions) -> ModelSpec:
    """The settings. Raises InputError where the backend cannot read the model's answer."""
    if spec.answer == "marks" and not isinstance(backend, TransformersOptions):
        raise InputError(
            f"model {spec.name!r}: is read in the middle of a prompt (answer: marks), and backend {str(backend_of(backend))!r} tells of a "
            "prompt's end alone: use backend 'transformers'"
        )
    return spec


def _open_hosted(backend: ChatOptions | DecisionOptions, spec: ModelSpec) -> tuple[Scorer, ModelSpec]:
    if isinstance(backend, ChatOptions):
        from firstrank.reranker.scorers.chat.scorer import ChatScorer

        return ChatScorer(spec, backend), spec
    from firstrank.reranker.scorers.decisions.scorer import DecisionsScorer

    return DecisionsScorer(spec, backend), spec
