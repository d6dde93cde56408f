"""Prompts of any Unicode, any lengths and any kind of tokenizer: they fit the context, and their frame is the template's."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.pointwise import PointPrompter, Pointwise
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.prompt.template import PointTemplate, Template, read_template
from firstrank.reranker.types import Passage, Request
from tests.fuzz.test_structure import control_ids
from tests.fuzz.tokenizers import MAKERS, SPECIALS, tiny_tokenizer

anything = st.text(st.characters(), max_size=40)
"""half surrogate pairs too"""
SPICE = [*SPECIALS, "[A]", "[", "]", "{text}", "{label}", "\ue000passages\ue000"]
spiced = st.lists(st.one_of(anything, st.sampled_from(SPICE)), max_size=5)
texts = st.builds(lambda parts, times: "".join(parts) * times, spiced, st.integers(1, 30))
CONTEXT = 700


@cache
def prompter(template: str, kind: str, excerpt: str) -> Prompter | PointPrompter:
    shape = read_template(template).model_copy(update={"excerpt": excerpt})
    tokenizer = tiny_tokenizer(kind)
    if isinstance(shape, PointTemplate):
        return PointPrompter(tokenizer, shape, Pointwise(yes=1), context=CONTEXT)
    assert isinstance(shape, Template)
    return Prompter(tokenizer, shape, context=CONTEXT, answer="permutation" if shape.labels == "numbers" else "logits")


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("template", ["compact", "permutation", "compact-mark"])
@settings(max_examples=12)
@given(
    passages=st.lists(st.tuples(texts, anything), min_size=1, max_size=8),
    query=texts,
    tokens=st.one_of(st.none(), st.integers(1, 200)),
    excerpt=st.sampled_from(["start", "query"]),
)
def test_any_text_gives_a_prompt_that_fits(template, kind, passages, query, tokens, excerpt):
    made = prompter(template, kind, excerpt)
    request = Request(query, tuple(Passage(str(i), text, title) for i, (text, title) in enumerate(passages)), "q", tokens)
    try:
        encoded = made.encode(request)
    except InputError:  # a query that leaves no room
        return
    if isinstance(made, PointPrompter):
        prompts = [encoded.prompt(i) for i in range(len(passages))]
        plain = made.encode(Request("x", (Passage("x", "x"),), "q")).prompt(0)
        room = 1
    else:
        n = encoded.max_window
        assert 1 <= n <= len(passages)
        prompts = [encoded.prompt(range(n)), encoded.prompt(range(len(passages) - n, len(passages)))]
        plain = made.encode(Request("x", (Passage("x", "x"),) * n, "q")).prompt(range(n))
        room = made.reserve(n)
    control = control_ids(made)
    for prompt in prompts:
        assert len(prompt) + room <= CONTEXT
        assert [index for index in prompt if index in control] == [index for index in plain if index in control]
