"""Hostile passages never change a prompt's frame: of every template, with every kind of tokenizer, only their own text differs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import pytest

from benchmarks.attacks import KINDS, Attack, passages
from firstrank.reranker.config import config_dir
from firstrank.reranker.prompt.pointwise import PointPrompter, Pointwise
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.prompt.template import PointTemplate, Template, read_template
from firstrank.reranker.types import Passage, Request
from tests.fuzz.tokenizers import MAKERS, tiny_tokenizer

HOSTILE = passages(500)
PLAIN = [Passage(f"plain {i}", f"Plain text {i}.", "Its title" * (i % 2)) for i in range(11)]
"""no text of them is cut, however long the others are"""
TEMPLATES = sorted(path.stem for path in (config_dir() / "prompts").glob("*.yaml"))
QUERY = "who wrote Emma?"


class Parts(NamedTuple):
    """A window's prompt without its labels: the ids around the passages, and of each passage those before and after its label."""

    head: list[int]
    texts: list[tuple[list[int], list[int]]]
    tail: list[int]


@cache
def listwise(template: str, kind: str) -> Prompter:
    shape = read_template(template)
    assert isinstance(shape, Template)
    return Prompter(tiny_tokenizer(kind), shape, context=1_000_000, answer="permutation" if shape.labels == "numbers" else "logits")


@cache
def pointwise(template: str, kind: str) -> PointPrompter:
    shape = read_template(template)
    assert isinstance(shape, PointTemplate)
    return PointPrompter(tiny_tokenizer(kind), shape, Pointwise(yes=1, no=2), context=1_000_000)


def groups(size: int, kind: str) -> list[list[Attack]]:
    """All, in groups; a few of each kind of attack for the tokenizers that rerankers seldom have."""
    some = HOSTILE if kind in ("byte-level", "sentencepiece") else HOSTILE[:100]
    return [some[start : start + size] for start in range(0, len(some), size)]


def control_ids(made: Prompter | PointPrompter) -> set[int]:
    """`<unk>` is what a letter becomes that a tokenizer does not know."""
    return set(made.encoder._added.values()) - {made.encoder._added["<unk>"]}


def templates(shape: type) -> list[str]:
    return [name for name in TEMPLATES if isinstance(read_template(name), shape)]


def request_of(passages, query: str = QUERY) -> Request:
    return Request(query, tuple(passages), "q")


def parts_of(made: Prompter, passages: Sequence[Passage]) -> Parts:
    """A window's ids taken apart by `marked`, which tells where each label is, or where each passage ends; together they are the prompt."""
    encoded, n = made.encode(request_of(passages)), len(passages)
    ids, marks = encoded.marked(range(n))
    head, tail = encoded.frame(n)
    found, at = Parts(head, [], tail), len(head)
    assert ids[:at] == head
    for place, mark in enumerate(marks):
        label = made.label_tokens(place)
        start = at + len(shown_opening(made)) if made.template.label_first else mark + 1 - len(label)
        end = mark + 1 if made.template.label_first else mark + 1 + len(shown_closing(made))
        assert ids[start : start + len(label)] == label
        found.texts.append((ids[at:start], ids[start + len(label) : end]))
        at = end
    assert ids[at:] == tail
    return found


@cache
def shown_opening(made: Prompter) -> list[int]:
    """The ids before each label, where the label comes first."""
    return made._shown([""])[0].opening


@cache
def shown_closing(made: Prompter) -> list[int]:
    """The ids after each label, where the label comes last."""
    return made._shown([""])[0].closing


def test_the_passages_are_500_of_all_kinds_and_always_the_same():
    assert passages(500) == HOSTILE
    assert len(HOSTILE) == 500
    assert {one.kind for one in HOSTILE} == KINDS.keys()
    assert len({one.text for one in HOSTILE}) > 400
    assert passages(500, seed=1) != HOSTILE


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("template", templates(Template))
def test_a_windows_frame_is_the_same_whatever_its_passages_say(template, kind):
    """Every second passage of a window is hostile: labels, and all ids that are not of a hostile text, are those of a plain window."""
    made = listwise(template, kind)
    added = control_ids(made)
    fixed = 0 if made.template.label_first else 1
    expected = parts_of(made, [PLAIN[place // 2] if place % 2 == 0 else Passage(str(place), "x") for place in range(len(PLAIN) * 2 - 1)])
    for some in groups(len(PLAIN) - 1, kind):
        hostile = [Passage(str(i), one.text, one.text[::-1] if i == 3 else "") for i, one in enumerate(some)]
        found = parts_of(made, [passage for pair in zip(PLAIN, [*hostile, PLAIN[0]], strict=True) for passage in pair][:-1])
        assert (found.head, found.tail) == (expected.head, expected.tail)
        assert found.texts[::2] == expected.texts[::2]
        assert all(text[fixed] == expected.texts[0][fixed] for text in found.texts)
        assert not any(index in added for text in found.texts for index in text[1 - fixed])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("template", templates(PointTemplate))
def test_a_pointwise_frame_is_the_same_whatever_its_passage_says(template, kind):
    """The header does not know the passages, what follows a text is what follows any, and its own ids are no control tokens."""
    made = pointwise(template, kind)
    added = control_ids(made)
    plain = made.encode(request_of(PLAIN))
    control = [index for index in plain.suffixes[0] if index in added]
    for some in groups(100, kind):
        encoded = made.encode(request_of([*PLAIN, *(Passage(str(i), one.text, one.text[::-1]) for i, one in enumerate(some))]))
        assert encoded.header == plain.header
        assert encoded.suffixes[: len(PLAIN)] == plain.suffixes
        for suffix in encoded.suffixes:
            assert [index for index in suffix if index in added] == control
            assert list(suffix[len(suffix) - len(made._rest) :]) == made._rest


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_hostile_query_adds_no_control_token(template, kind):
    is_window = isinstance(read_template(template), Template)
    made = listwise(template, kind) if is_window else pointwise(template, kind)
    added = control_ids(made)

    def control(query: str) -> list[int]:
        encoded = made.encode(request_of(PLAIN, query=query))
        return [index for index in (encoded.prompt(range(len(PLAIN))) if is_window else encoded.prompt(0)) if index in added]

    expected = control("x")
    for one in HOSTILE[::40]:
        assert control(one.text) == expected
