"""Which labels a tokenizer offers, and which ids a model may call its labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.prompt.labels import frozen, letters, numbers


@dataclass
class Vocabulary:
    """What is read of a tokenizer: its entries, those that were added, and what it calls an id."""

    entries: list[str]
    added_tokens_decoder: dict[int, str] = field(default_factory=dict)

    def get_vocab(self) -> dict[str, int]:
        return {entry: index for index, entry in enumerate(self.entries)}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.entries[index] for index in ids]


def test_letters_are_a_to_z_then_pairs_then_small_ones():
    every = Vocabulary(sorted([*ascii_uppercase, *ascii_lowercase, *(a + b for a in ascii_uppercase for b in ascii_uppercase)]))
    assert len(letters(every)) == 128
    assert list(letters(every, 28)) == [*ascii_uppercase, "AA", "AB"]
    assert list(letters(Vocabulary(["b", "ZZ", "B", "a", "the"]))) == ["B", "ZZ", "a", "b"]
    assert letters(Vocabulary(["A", "B", "C"]), 2) == {"A": 0, "B": 1}


def test_an_added_token_is_no_label():
    assert letters(Vocabulary(["A", "B", "C"], {1: "B"})) == {"A": 0, "C": 2}


def test_a_model_s_own_labels_are_letters_that_differ():
    vocabulary = Vocabulary(["A", "B", ">", "é", "A"])
    assert frozen(vocabulary, (1, 0)) == {"B": 1, "A": 0}
    for ids, said in (((0, 2), "'>' where a label"), ((3,), "'é' where a label"), ((0, 4), "'one of them twice'")):
        with pytest.raises(ModelError, match=said):
            frozen(vocabulary, ids)


def test_numbers_count_from_one():
    assert numbers(3) == ["1", "2", "3"]
    assert numbers()[-1] == "128"
