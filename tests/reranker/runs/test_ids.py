"""Ids in messages: the first few of many, and the one that was meant where two files spell it differently."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.ids import hint, one_word, some


def test_five_are_shown_and_more_are_hinted_at():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some(list("abcde")) == "'a', 'b', 'c', 'd', 'e'"
    assert some(list("abcdef")) == "'a', 'b', 'c', 'd', 'e', …"
    assert some(["a"], 6) == "'a', …"
    assert some(["a"], 5) == "'a'"


@pytest.mark.parametrize(("lacking", "there"), [("51", "051"), ("Q1", "q1"), ("7", "7.0"), ("7", '"7"'), ("10", "010"), ("x", " x")])
def test_another_spelling_is_named(lacking, there):
    assert (
        hint(["none", lacking], ["other", there])
        == f" (it has {there!r} where {lacking!r} is asked for: ids are compared as they are written)"
    )


def test_nothing_is_said_where_no_spelling_is_near():
    assert hint(["a"], ["b"]) == hint(["a"], ["a"]) == hint([], ["a"]) == ""


def test_white_space_splits_an_id_and_a_no_break_space_does_not():
    assert one_word("f", 3, "a\u00a0b") == "a\u00a0b"
    with pytest.raises(FormatError, match="holds white space"):
        one_word("f", 3, "a b")
