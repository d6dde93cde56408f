"""The YAML reference: the keys of each kind of file, from the models that read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs.generators.tables import code, sentence, table
from firstrank.eval.reproductions import FirstStage, Reproduction
from firstrank.reranker.encoders.source import EncoderSpec
from firstrank.reranker.models.spec import ModelSpec, Weights
from firstrank.reranker.prompt.template import PointTemplate, Template
from firstrank.reranker.scorers.openai.options import ServerSettings
from firstrank.reranker.scorers.vllm.settings import EngineSettings
from firstrank.training.data.questions import QuestionPrompt


class File(NamedTuple):
    """A kind of file, and what reads it."""

    title: str
    where: str
    reader: type[BaseModel]


FILES = (
    File("A model", "`configs/models/NAME.yaml`, or `firstrank.yaml` in a model's folder.", ModelSpec),
    File("A model's weights", "The key `weights` of a model.", Weights),
    File("vLLM's engine", "The key `engine` of a model, or `--engine-arg KEY=VALUE` with `--backend vllm`.", EngineSettings),
    File("Running servers", "`--engine-arg KEY=VALUE` with `--backend openai`.", ServerSettings),
    File("A prompt", "`configs/prompts/NAME.yaml`, or the key `template` of a model.", Template),
    File("A prompt of one passage", "The same, for models with `answer: pointwise`.", PointTemplate),
    File(
        "A prompt that asks for queries",
        "`configs/questions/NAME.yaml`, or a file that `firstrank data invent --prompt` names.",
        QuestionPrompt,
    ),
    File("An encoder", "`configs/encoders/NAME.yaml`: what `dense:NAME` and `sparse:NAME` read.", EncoderSpec),
    File("A reproduction", "`configs/eval/NAME.yaml`: what `firstrank reproduce NAME` runs.", Reproduction),
    File("A reproduction's first stage", "The key `first_stage` of a reproduction.", FirstStage),
)
"""A recipe's keys stand in docs/training.md, and the service's settings in docs/server.md; a test holds each to its code."""


def page() -> str:
    return "\n\n".join(
        f"## {file.title}\n\n{file.where}\n\n{table(('key', 'type', 'default', 'what'), rows(file.reader))}" for file in FILES
    )


def rows(reader: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """A row a key. The words are the field's description, or what stands below it as its docstring."""
    return [
        (code(name), _kind(field.annotation), _default(field), sentence(field.description or ""))
        for name, field in reader.model_fields.items()
    ]


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or field.default in ("", {}, ()) or isinstance(field.default, BaseModel):
        return ""
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    spaced = isinstance(field.default, str) and field.default != field.default.strip()
    return code(repr(field.default) if spaced else field.default)


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(one) for one in arguments if one is not NoneType))
    if origin is Literal:
        return ", ".join(code(one) for one in arguments)
    if origin is tuple:
        return f"list of {_plural(arguments[0])}"
    if origin in (Mapping, dict):
        return "mapping"
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, re.sub(r"(?<!^)(?=[A-Z])", " ", getattr(annotation, "__name__", "any")).lower())


def _plural(annotation: Any) -> str:
    return {int: "whole numbers", str: "texts"}.get(annotation, "values")
