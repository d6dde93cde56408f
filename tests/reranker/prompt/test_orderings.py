"""Orderings: the language of complete ones, and what is made of an answer that is none."""

from __future__ import annotations

import random

import pytest

from firstrank.reranker.prompt.orderings import Faults, Ordering, Walk, after_thought, parse


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


@pytest.mark.parametrize(
    ("answer", "order", "faults"),
    [
        ("[2] > [1] > [3]", (1, 0, 2), (0, 0, 0)),
        ("[2] > [2] > [1]", (1, 0, 2), (1, 1, 0)),
        ("[9] > [3]", (2, 0, 1), (0, 2, 1)),
        ("", (0, 1, 2), (0, 3, 0)),
        ("I think [3] is best, then [1].", (2, 0, 1), (0, 1, 0)),
        ("3 > 1 > 2", (2, 0, 1), (0, 0, 0)),
    ],
)
def test_answers_are_read_repaired_and_the_repairs_counted(answer, order, faults):
    parsed = parse(answer, ["1", "2", "3"])
    assert parsed.order == order
    assert parsed.faults == Faults(*faults)
    assert parsed.faults.well_formed == (faults == (0, 0, 0))
    assert Faults.in_note(str(parsed.faults)) == parsed.faults
    assert parsed.values[order[0]] == 3.0


def test_the_first_of_an_answer_scores_highest_each_one_more_than_the_next():
    assert parse("[2] > [1] > [3]", ["1", "2", "3"]).values == (2.0, 3.0, 1.0)


def test_only_what_comes_after_the_last_thought_is_an_answer():
    assert after_thought("<think>[1]</think> so</think> [2]") == " [2]"
    assert after_thought("<think>[1] > [2]") == ""
