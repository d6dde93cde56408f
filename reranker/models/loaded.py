"""A model that is here: found, fetched, with its tokenizer and its prompter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models import weights
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.spec import SETTINGS_FILE, ModelSpec
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.types import Answer


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


def load_model(
    name: str,
    *,
    revision: str | None = None,
    answer: Answer | None = None,
    changed: Callable[[ModelSpec], ModelSpec] | None = None,
    tensors: bool = True,
) -> Model:
    """Finds a model, fetches it if need be, and makes its prompter. The weights are left to the scorer.

    Without `tensors`, weights on the hub stay there: a server elsewhere runs the model, and only its prompts are made here.
    `answer` in place of the model's own makes FIRST's baseline: the same model, prompts and labels, but the ordering generated.
    `changed` makes of its settings those that the prompter is built for; nothing is fetched before it has said yes.
    Raises ModelError where it cannot be found, fetched or used, and what `changed` raises.
    """
    spec, folder = find_model(name)
    spec = spec.model_copy(update={"answer": answer}) if answer else spec
    spec = changed(spec) if changed else spec
    path = folder or weights.fetch(spec, revision, tensors=tensors)
    tokenizer = _tokenizer(name, path)
    return Model(name, spec, str(path), tokenizer, prompter_of(spec, tokenizer, path))


def prompter_of(spec: ModelSpec, tokenizer: Any, path: Path) -> Prompter:
    """The prompter of a model's settings; `path` holds the network's configuration, for the context where the settings name none."""
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
        raise ModelError(f"{path}: config.json has no max_position_embeddings: say `context:` in {SETTINGS_FILE}")
    return context


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
