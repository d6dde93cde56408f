"""The language of complete orderings."""

from __future__ import annotations

import random

import pytest

from firstrank.reranker.prompt.orderings import Ordering, Walk


def ordering_of(names):
    """One token a character."""
    spelled = [tuple(map(ord, f"[{name}]")) for name in names]
    return Ordering(tuple(spelled), tuple((*map(ord, " > "), *one) for one in spelled))


def characters(text):
    return [ord(character) for character in text]


@pytest.mark.parametrize("n", [1, 2, 12])
def test_any_walk_spells_each_identifier_once(n):
    ordering = ordering_of([str(i) for i in range(1, n + 1)])
    draw = random.Random(n)
    for _ in range(20):
        generated: list[int] = []
        walk = Walk(ordering)
        while allowed := ordering.allowed(generated):
            assert walk.allowed(generated) == allowed
            generated.append(draw.choice(allowed))
        assert walk.allowed(generated) == []
        assert Walk(ordering).allowed(generated[:-1]) == generated[-1:]
        answer = "".join(map(chr, generated))
        assert sorted(answer.split(" > ")) == sorted(f"[{i}]" for i in range(1, n + 1))
        assert len(generated) <= ordering.longest


def test_an_identifier_that_begins_another_is_told_apart_by_its_end():
    ordering = ordering_of(["1", "12"])
    assert ordering.allowed(characters("[1")) == characters("2]")
    assert ordering.allowed(characters("[1] > [1")) == characters("2")


def test_what_is_no_ordering_is_refused():
    ordering = ordering_of(["1", "2"])
    with pytest.raises(ValueError, match="does not begin"):
        ordering.allowed(characters("[1] > [1"))
    with pytest.raises(ValueError, match="does not begin"):
        Walk(ordering).allowed(characters("[1] > [1"))
    with pytest.raises(ValueError, match="follows"):
        ordering.allowed(characters("[1] > [2]."))
