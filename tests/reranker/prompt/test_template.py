"""How a passage is shown, where an instruction may stand, and what a chat template makes of a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2
import pytest

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.encoder import Data, Trusted
from firstrank.reranker.prompt.places import filled, instruction_of
from firstrank.reranker.prompt.template import PointTemplate, Template, in_chat, parse_template, read_template
from firstrank.reranker.types import Request

SHAPE = Template(system="Rank.", before="Q: {query}\n", passage="[{label}] {text}\n", after="Order:", answer="[")


def test_a_passage_is_stripped_titled_and_cut_after_so_many_words():
    short = SHAPE.model_copy(update={"words": 4})
    assert SHAPE.text_of("", "  a  b\nc ") == "a  b\nc", "its white space stays as it is"
    assert SHAPE.text_of(" T ", "a b") == "T. a b"
    assert short.text_of("T", "a  b\nc d") == "T. a b c"
    assert [short.cuts("T", text) for text in ("a b", "a  b c", "a b c d")] == [False, False, True]
    assert not SHAPE.cuts("T", "a b c d")


def test_what_stands_around_label_and_text():
    assert SHAPE.literals == ("[", "] ", "\n")
    assert SHAPE.label_first
    assert not SHAPE.model_copy(update={"passage": "{text} [{label}]\n"}).label_first


@pytest.mark.parametrize("passage", ["{label}{text}\n", "{text}{label}\n", "[{label}] {text}", "{label} {label} {text}\n", "{label} \n"])
def test_a_passage_that_cannot_be_told_apart_is_refused(passage):
    with pytest.raises(ValueError, match="passage: "):
        Template(before="", passage=passage, after="")


@pytest.mark.parametrize("where", ["system", "before", "after"])
def test_an_instruction_stands_where_the_template_has_a_place(where):
    shape = Template(**{"before": "", "after": "", "passage": "[{label}] {text}\n"} | {where: "Do: {instruction}", "instruction": " that "})
    assert shape.takes_instruction
    assert instruction_of(shape, Request("q", ())) == "that"
    assert instruction_of(shape, Request("q", (), instruction=" this ")) == "this"
    with pytest.raises(InputError, match="instruction: is empty"):
        instruction_of(shape, Request("q", (), instruction=" "))


def test_without_a_place_an_instruction_is_refused():
    assert instruction_of(SHAPE, Request("q", ())) == ""
    with pytest.raises(InputError, match="has no place for one"):
        instruction_of(SHAPE, Request("q", (), instruction="this"))
    for fields in ({"instruction": "x"}, {"instructed": "so: {instruction}"}):
        with pytest.raises(ValueError, match="there is no place for it"):
            Template(before="", passage="[{label}] {text}\n", after="", **fields)


def test_places_are_filled_and_only_what_the_template_says_is_trusted():
    shape = PointTemplate(prompt="{instruction}Q: {query} {text}", instructed="Do {instruction}. ")
    assert filled("{instruction}Q: {query}", shape, "it", " why ") == (
        Trusted("Do "), Data("it"), Trusted(". "), Trusted("Q: "), Data("why"),
    )  # fmt: skip
    found = filled("{instruction}Q: {query}", shape, "", "{instruction}")
    assert [(type(part), str(part)) for part in found] == [(Trusted, "Q: "), (Data, "{instruction}")]


def test_a_query_and_a_text_have_one_place_each_and_the_text_s_is_last():
    PointTemplate(prompt="{query} {instruction} {text}")
    for prompt in ("{text} {query}", "{query} {text} {instruction}"):
        with pytest.raises(ValueError, match="must come last"):
            PointTemplate(prompt=prompt)
    for prompt in ("{query} {text} {text}", "{text}", "{query} {query} {text}"):
        with pytest.raises(ValueError, match="must occur once"):
            PointTemplate(prompt=prompt)


def test_a_file_with_a_prompt_is_of_one_passage_and_a_mistake_names_its_file():
    assert isinstance(parse_template({"prompt": "{query} {text}"}, "here"), PointTemplate)
    assert isinstance(parse_template({"before": "", "passage": "[{label}] {text}\n", "after": ""}, "here"), Template)
    with pytest.raises(InputError, match=r"here: .*passge"):
        parse_template({"passge": ""}, "here")


@pytest.mark.parametrize("name", ["../models/default", "", ".hidden", "first.yaml"])
def test_a_template_is_a_name_and_no_path(name):
    with pytest.raises(InputError, match=r"unknown; there are .*first"):
        read_template(name)


@dataclass
class Chatting:
    """What is read of a tokenizer: its chat template, and its token for the beginning."""

    chat_template: str | None = None
    bos_token: str | None = None

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        def refuse(problem: str) -> None:
            raise jinja2.TemplateError(problem)

        source = options.pop("chat_template", None) or self.chat_template
        assert options.pop("add_generation_prompt")
        assert not options.pop("tokenize")
        return jinja2.Template(source).render(messages=messages, raise_exception=refuse, **options)


ROLES = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
REFUSED = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + ROLES
USER = "Q: {query}\n"


@pytest.mark.parametrize(
    ("tokenizer", "before", "after"),
    [
        (Chatting(ROLES), f"<system>Rank.<user>{USER}", "Order:<assistant>["),
        (Chatting(), f"Rank.\n {USER}", "Order:\n["),
        (Chatting(bos_token="<s>"), f"<s>Rank.\n {USER}", "Order:\n["),
        (Chatting(REFUSED), f"<user>Rank.\n {USER}", "Order:<assistant>["),
        (Chatting("<user>{{ messages[-1].content }}<assistant>"), f"<user>Rank.\n {USER}", "Order:<assistant>["),
    ],
    ids=["a system role", "no chat template", "a token for the beginning", "a system role that is refused", "one that is dropped"],
)
def test_a_chat_template_without_a_system_role_has_it_before_the_user_s_words(tokenizer, before, after):
    assert in_chat(SHAPE, tokenizer, {}) == (before, after)


def test_a_template_without_system_text_has_one_turn():
    silent = SHAPE.model_copy(update={"system": ""})
    assert in_chat(silent, Chatting(ROLES), {}).before == f"<user>{USER}"
    assert in_chat(silent, Chatting(), {}).before == USER


def test_a_model_may_bring_its_own_chat_template_and_options_for_it():
    assert in_chat(SHAPE, Chatting(), {"chat_template": "{{ mood }}" + ROLES, "mood": "calm"}).before == f"calm<system>Rank.<user>{USER}"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ messages[-1].content }}{{ messages[-1].content }}", "does not show the user's message as it is"),
        ("nothing", "does not show the user's message as it is"),
        ("{{ raise_exception('never') }}", "cannot be filled in: never"),
    ],
)
def test_a_chat_template_that_cannot_show_a_prompt_is_refused(source, said):
    with pytest.raises(ModelError, match=said):
        in_chat(SHAPE, Chatting(source), {})
