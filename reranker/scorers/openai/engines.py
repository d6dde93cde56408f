"""How each engine is asked for the logits of labels: `--engine-arg labels=NAME`. A new engine is a module here and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.openai.completions import Completion, LabelsById, LabelsInTop, Ordered
from firstrank.reranker.scorers.openai.llamacpp import LlamaCppProbs
from firstrank.reranker.scorers.openai.ollama import OllamaTop
from firstrank.reranker.scorers.openai.options import Labels, ServerSettings
from firstrank.reranker.scorers.openai.sglang import SGLangScore

ENGINES: Mapping[Labels, Callable[[Model, ServerSettings], Completion]] = {
    "ids": lambda model, settings: LabelsById(model),
    "top": lambda model, settings: LabelsInTop(model, settings.top, as_text=settings.prompts == "text"),
    "sglang": lambda model, settings: SGLangScore(model),
    "llamacpp": lambda model, settings: LlamaCppProbs(model),
    "ollama": lambda model, settings: OllamaTop(model, settings.top),
}


def completion_of(model: Model, settings: ServerSettings) -> Completion:
    """What is asked of a server for a window of a model."""
    return Ordered(model) if model.spec.answer == "permutation" else ENGINES[settings.labels](model, settings)
