"""A prompt template: the text around the passages, and where their labels stand. YAML in `configs/prompts/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firstrank.reranker.config import config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.labels import Kind
from firstrank.reranker.prompt.words import first_words

Excerpt = Literal["start", "query"]
"""a text's start, or from the sentence on where most of the query's words are, see `firstrank.reranker.prompt.excerpt`"""

_PASSAGES = "\ue000passages\ue000"
_NAME = re.compile(r"\w[\w.-]*")
"""of a file in the folder, and no path out of it"""
_TEXTS = ("system", "before", "after", "prompt")
"""of a template, where its places may stand"""


class Form(BaseModel):
    """What the two kinds of template share: how a passage's text is shown, and what stands at `{instruction}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="set from the file's name")
    title: str = Field(default="{title}. {text}", description="how a title and a text are joined")
    words: int | None = Field(default=None, ge=1, description="a passage is cut after so many words, its white space made single")
    tokens: int | None = Field(default=None, ge=1, description="a passage is cut after so many tokens")
    excerpt: Excerpt = Field(default="start", description="what is shown of a passage with more tokens")
    instruction: str = Field(default="", description="stands at {instruction}, for requests that bring none of their own")
    instructed: str = Field(
        default="{instruction}", description="how an instruction is said at its place; without one, nothing stands there"
    )

    @property
    def takes_instruction(self) -> bool:
        """Whether there is a place for one."""
        return any("{instruction}" in getattr(self, name, "") for name in _TEXTS)

    @model_validator(mode="after")
    def _instruction(self) -> Self:
        if not self.takes_instruction and (self.instruction or self.instructed != "{instruction}"):
            raise ValueError("instruction: the template has no {instruction}, so there is no place for it")
        if self.instructed.count("{instruction}") != 1:
            raise ValueError("instructed: {instruction} must occur once in it")
        return self

    def text_of(self, title: str, text: str) -> str:
        """A passage as it is shown: stripped, with its title, cut to `words`."""
        shown = self._whole(title, text)
        return shown if self.words is None else first_words(shown, self.words)

    def cuts(self, title: str, text: str) -> bool:
        """Whether a passage has more than `words`."""
        if self.words is None:
            return False
        whole = self._whole(title, text)
        return first_words(whole, self.words) != " ".join(whole.split())

    def _whole(self, title: str, text: str) -> str:
        shown = text.strip()
        if title := title.strip():
            shown = self.title.replace("{title}", title).replace("{text}", shown).strip()
        return shown


class Template(Form):
    """`{n}` is the number of passages in the window, `{query}` the query, `{label}` an identifier, `{text}` a passage.

    `{instruction}` may stand before or after the passages, or in the system text: what is searched for, and how to judge it.
    """

    system: str = Field(default="", description="the system text")
    system_joint: str = Field(default="\n ", description="joins system and user text where the chat template has no system role")
    before: str = Field(description="what the user's text begins with: {n}, {query}")
    passage: str = Field(description="one passage: {label} and {text}, each once")
    after: str = Field(description="what stands after the passages: {query}, {n}")
    answer: str = Field(default="[", description="what the assistant's turn begins with; the first label follows")
    labels: Kind = Field(default="letters", description="what stands for a passage")

    @model_validator(mode="after")
    def _fields(self) -> Self:
        for place in ("{label}", "{text}"):
            if self.passage.count(place) != 1:
                raise ValueError(f"passage: {place} must occur once in it")
        if "{label}{text}" in self.passage or "{text}{label}" in self.passage:
            raise ValueError("passage: something must stand between {label} and {text}")
        if self.passage.endswith("}"):
            raise ValueError("passage: something must stand at its end, a line break say")
        return self

    @property
    def label_first(self) -> bool:
        return self.passage.index("{label}") < self.passage.index("{text}")

    @property
    def literals(self) -> tuple[str, str, str]:
        """What stands before, between and after a passage's label and text."""
        before, between, after = re.split(r"\{label\}|\{text\}", self.passage)
        return before, between, after

    def without_system(self) -> Self:
        """The same, its system text in front of the user's."""
        joined = self.system + self.system_joint + self.before if self.system else self.before
        return self.model_copy(update={"system": "", "before": joined})


class Chat(NamedTuple):
    """A template within a model's chat template: all that stands before and after the passages."""

    before: str
    after: str


class PointTemplate(Form):
    """A whole prompt that shows one passage: `{query}` is the query, `{text}` the passage, `{instruction}` what is searched for.

    Control tokens are spelled out in it: no chat template is put around it. It is tokenized as one string, but for `{|}`: models that
    were published with code that tokenizes pieces one by one have it where one piece ends and the next begins.
    """

    prompt: str = Field(description="the whole prompt: {query}, {text} and, where there is one, {instruction}")

    @model_validator(mode="after")
    def _places(self) -> Self:
        for place in ("{query}", "{text}"):
            if self.prompt.count(place) != 1:
                raise ValueError(f"prompt: {place} must occur once in it")
        if self.prompt.index("{text}") < max(self.prompt.index("{query}"), self.prompt.find("{instruction}")):
            raise ValueError("prompt: {text} must come last, for what stands before it is read once for all passages")
        return self


AnyTemplate = Template | PointTemplate
"""of a window, or of one passage a prompt"""


def read_template(name: str) -> AnyTemplate:
    """The template `configs/prompts/NAME.yaml`. Raises InputError for a name that is not there and for a malformed file."""
    folder = config_dir() / "prompts"
    path = folder / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise InputError(f"template {name!r}: unknown; there are {', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}")
    return parse_template({"name": name} | read_yaml(path), str(path))


def parse_template(fields: Mapping[str, Any], source: str) -> AnyTemplate:
    """A `PointTemplate` where the fields hold a whole `prompt`."""
    try:
        return (PointTemplate if "prompt" in fields else Template).model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{source}: {explained(error)}") from error


def in_chat(template: Template, tokenizer: Any, options: Mapping[str, Any]) -> Chat:
    """The template inside the tokenizer's chat template, the assistant's turn opened. `options` go to the chat template.

    A chat template without a system role gets the system text in front of the user's; a tokenizer without any gets plain text.
    """
    user = template.before + _PASSAGES + template.after
    folded = template.without_system().before + _PASSAGES + template.after
    if not (getattr(tokenizer, "chat_template", None) or "chat_template" in options):
        rendered = f"{tokenizer.bos_token or ''}{folded}\n"
    else:
        rendered = _with_system(template, tokenizer, user, options) or _render(tokenizer, [("user", folded)], options)
    before, _, after = rendered.partition(_PASSAGES)
    return Chat(before, after + template.answer)


def _with_system(template: Template, tokenizer: Any, user: str, options: Mapping[str, Any]) -> str | None:
    """None where the chat template has no system role: it refuses it, or drops the text."""
    if not template.system:
        return _render(tokenizer, [("user", user)], options)
    try:
        rendered = _render(tokenizer, [("system", template.system), ("user", user)], options)
    except ModelError:
        return None
    return rendered if template.system in rendered else None


def _render(tokenizer: Any, turns: list[tuple[str, str]], options: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        rendered = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options))
    except (TemplateError, ValueError, TypeError) as error:
        raise ModelError(f"the model's chat template cannot be filled in: {error}") from error
    if rendered.count(_PASSAGES) != 1:
        raise ModelError("the model's chat template does not show the user's message as it is")
    return rendered
