"""A model that is here: found, fetched, with its tokenizer and its prompter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models import weights
from firstrank.reranker.models.catalog import check_revision, find_model
from firstrank.reranker.models.folder import adapter_base, check_folder, has_tokenizer, is_adapter
from firstrank.reranker.models.spec import SETTINGS_FILE, ModelSpec
from firstrank.reranker.prompt.pointwise import PointPrompter
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.types import Answer


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is here: `path` is a local folder with weights and tokenizer."""

    name: str
    spec: ModelSpec
    path: str
    tokenizer: Any
    asks: Prompter | PointPrompter
    """what makes its prompts: of windows, or of one passage each"""
    base: str | None = None
    """of an adapter: the folder with the weights that it changes"""

    @property
    def prompter(self) -> Prompter:
        """Of windows. Raises ModelError for a model that reads a passage at a time."""
        if not isinstance(self.asks, Prompter):
            raise ModelError(f"model {self.name!r}: reads one passage at a time (answer: pointwise), and a window needs several")
        return self.asks

    @property
    def pointwise(self) -> PointPrompter | None:
        """Of one passage a prompt, if the model reads so."""
        return self.asks if isinstance(self.asks, PointPrompter) else None

    @property
    def context(self) -> int:
        """Tokens of a prompt with its answer, at most."""
        return self.asks.context

    def answer_ids(self, n: int) -> Sequence[int]:
        """The token ids whose logits at the last position of a prompt of n passages are its answer."""
        return self.asks.label_ids(n) if isinstance(self.asks, Prompter) else self.asks.ids

    def within(self, *contexts: int | None) -> Model:
        """The model with its prompts held to the smallest of these contexts (in tokens; None is any) and its own."""
        context = min([self.context, *filter(None, contexts)])
        if context == self.context:
            return self
        spec = self.spec.model_copy(update={"context": context})
        return replace(self, spec=spec, asks=prompter_of(spec, self.tokenizer, Path(self.path)))


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
    if answer and spec.answer != answer and not {answer, spec.answer} <= {"logits", "permutation"}:
        raise ModelError(f"model {name!r}: its settings are made for answer: {spec.answer}, so it cannot answer by {answer}")
    spec = spec.model_copy(update={"answer": answer}) if answer else spec
    spec = changed(spec) if changed else spec
    check_revision(name, revision)
    path = folder or weights.fetch(spec, revision, tensors=tensors)
    base = _base(name, path, tensors=tensors)
    check_folder(name, path)
    tokenizer = _tokenizer(name, path if base is None or has_tokenizer(path) else base)
    configured = path if base is None or (path / "config.json").is_file() else base
    return Model(name, spec, str(path), tokenizer, prompter_of(spec, tokenizer, configured), None if base is None else str(base))


def prompter_of(spec: ModelSpec, tokenizer: Any, path: Path) -> Prompter | PointPrompter:
    """The prompter of a model's settings; `path` holds the network's configuration, for the context where the settings name none."""
    try:
        context = spec.context or _context(path)
        if spec.pointwise is not None:
            return PointPrompter(tokenizer, spec.read_point_template(), spec.pointwise, context=context)
        return Prompter(
            tokenizer,
            spec.read_template(),
            context=context,
            window=spec.window,
            answer=spec.answer,
            label_ids=spec.label_ids,
            chat=spec.chat,
            thinking=spec.thinking or 0,
        )
    except ModelError as error:
        raise ModelError(f"model {spec.name!r}, template {spec.template_name!r}: {error}") from error


def _base(name: str, path: Path, *, tensors: bool) -> Path | None:
    """The folder of the model that an adapter is for, fetched if need be; None where the folder holds no adapter."""
    if not is_adapter(path):
        return None
    base, revision = adapter_base(path)
    try:
        spec, folder = find_model(base)
        found = folder or weights.fetch(spec, revision if spec.weights.hub else None, tensors=tensors)
        if is_adapter(found):
            raise ModelError(f"{found}: is itself an adapter: merge it into its base first")
        check_folder(base, found)
    except ModelError as error:
        raise ModelError(
            f"model {name!r}: is an adapter for {base!r}, which cannot be loaded: {error}. "
            f"If it has moved, change base_model_name_or_path in {path / 'adapter_config.json'}"
        ) from error
    return found


def _tokenizer(name: str, path: Path) -> Any:
    from transformers import AutoTokenizer

    if not has_tokenizer(path):
        raise ModelError(
            f"model {name!r}: cannot load the tokenizer in {path}: there is none (tokenizer.json, or tokenizer.model): "
            "copy it there from the model that this one was made of"
        )
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot load the tokenizer in {path}: {_first_line(error)}") from error


def _context(path: Path) -> int:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False).get_text_config()
    except Exception as error:
        raise ModelError(f"{path}: cannot read config.json: {_first_line(error)}") from error
    context = getattr(config, "max_position_embeddings", None)
    if not isinstance(context, int):
        raise ModelError(f"{path}: config.json has no max_position_embeddings: set `context:` in {SETTINGS_FILE}")
    return context


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
