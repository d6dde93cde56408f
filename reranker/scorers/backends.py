"""Ways to score a window, by name. Each backend's module is imported when it is asked for."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.types import Answer

if TYPE_CHECKING:
    from firstrank.reranker.models.spec import ModelSpec

Backend = Literal["transformers", "vllm", "openai"]
BACKENDS: tuple[str, ...] = get_args(Backend)


def open_scorer(
    model: str, backend: str = "transformers", *, revision: str | None = None, answer: Answer | None = None, **options: Any
) -> tuple[Scorer, ModelSpec]:
    """A scorer for a model's name, and the model's own settings.

    `options` are the fields of the backend's options class (TransformersOptions, VLLMOptions, OpenAIOptions); None leaves a
    default; `answer` is in place of the model's own. Raises InputError for an unknown backend or option, ModelError for a
    model that cannot be used, MissingExtra.
    """
    from firstrank.reranker.models.loaded import load_model

    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r}: unknown; there are {', '.join(BACKENDS)}")
    given = {name: value for name, value in options.items() if value is not None}
    scorer_class, options_class = _classes(backend)
    legal = [field.name for field in fields(options_class)]
    if unknown := sorted(given.keys() - set(legal)):
        raise InputError(f"backend {backend!r} has no option {', '.join(unknown)}; it has {', '.join(legal)}")
    chosen = options_class(**given)
    loaded = load_model(model, revision=revision, answer=answer, tensors=backend != "openai")
    return scorer_class(loaded, chosen), loaded.spec


def _classes(backend: str) -> tuple[Any, Any]:
    name = {"transformers": "Transformers", "vllm": "VLLM", "openai": "OpenAI"}[backend]
    module = import_module(f"firstrank.reranker.scorers.{backend}.scorer")
    return getattr(module, f"{name}Scorer"), getattr(module, f"{name}Options")
