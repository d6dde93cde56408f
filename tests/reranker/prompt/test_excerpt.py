"""Excerpts: the part of a long passage that the query asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.prompt.excerpt import excerpts
from firstrank.reranker.types import Passage

BEES = "Bees make honey of nectar. They dance to tell where flowers are! Queens lay eggs, two thousand on a day.\n\nDrones have no sting"
TEXTS = st.text(st.sampled_from("bee queen\n.!? é蜂\U0001f41d"), max_size=300)


def shown(query, *texts, tokens=8, title=""):
    return [passage.text for passage in excerpts(query, [Passage(str(i), text, title) for i, text in enumerate(texts)], tokens)]


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("how much honey?", "Bees make honey"),
        ("how do they tell by a dance?", "They dance"),
        ("does the queen lay an EGG", "Queens lay eggs"),
        ("a drone's sting", "Drones have"),
        ("what is a wasp?", "Bees make honey"),
        ("", "Bees make honey"),
    ],
)
def test_a_passage_begins_with_the_sentence_that_is_asked_for(query, start):
    assert shown(query, BEES)[0].startswith(start)


def test_a_rare_word_counts_more_than_a_common_one():
    """All passages speak of bees, one of them of drones as well, further down."""
    query, common = "bee drone", "Bees are many. " * 5
    found = shown(query, common + "Drones are few.", common, common, tokens=4)
    assert found == ["Drones are few.", common, common]


def test_what_does_not_fit_behind_a_sentence_is_not_counted_for_it():
    text = "Bees live here. " + "Nothing is said here. " * 10 + "Queens and drones of bees live there."
    assert shown("bee queen drone", text)[0].startswith("Queens")


def test_of_equals_the_first():
    assert shown("bees", "Bees fly. Bees sing. Bees die.", tokens=2) == ["Bees fly. Bees sing. Bees die."]


@pytest.mark.parametrize(
    ("title", "kept"), [("All about the bees", "All about the"), ("Hymenopterologically", "Hymenopterologic"), ("Bees", "Bees")]
)
def test_a_long_title_leaves_room_for_the_text(title, kept):
    [passage] = excerpts("queen", [Passage("a", BEES, title)], 8)
    assert passage.title == kept
    assert passage.text.startswith("Queens")


def test_what_the_title_says_need_not_be_said_again():
    assert shown("the queen's sting", BEES, title="Queens")[0].startswith("Drones")
    assert shown("the queen", BEES, title="Queens")[0].startswith("Bees make")
    assert shown("the queen", BEES, title="Of bees and of flowers, and queens")[0].startswith("Queens")


@given(query=TEXTS, texts=st.lists(TEXTS, max_size=5), title=TEXTS, tokens=st.integers(1, 100))
def test_any_text_is_shown_from_somewhere_to_its_end(query, texts, title, tokens):
    for text, found in zip(texts, shown(query, *texts, tokens=tokens, title=title), strict=True):
        assert " ".join(text.split()).endswith(" ".join(found.split()))
        assert bool(found) == bool(text.strip())
