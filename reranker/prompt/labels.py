"""The identifiers of a window's passages: A, B, … as single tokens of a given tokenizer, or the numbers 1, 2, …"""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal

from firstrank.reranker.errors import ModelError

Kind = Literal["letters", "numbers"]

MOST = 128
"""labels in one window: vLLM answers for no more token ids at once"""


def letters(tokenizer: Any, count: int = MOST) -> dict[str, int]:
    """Up to `count` single-token labels and their ids: A … Z in that order, as FIRST models expect, then AA … ZZ, then a … z.

    A label is the vocabulary's own entry of that spelling; that it stands between brackets is seen to by ids, so it does not
    matter what the tokenizer would merge it with.
    """
    vocabulary = tokenizer.get_vocab()
    added = set(tokenizer.added_tokens_decoder)
    pairs = ("".join(pair) for pair in product(ascii_uppercase, repeat=2))
    found: dict[str, int] = {}
    for label in (*ascii_uppercase, *pairs, *ascii_lowercase):
        if len(found) == count:
            break
        if (index := vocabulary.get(label)) is not None and index not in added:
            found[label] = index
    return found


def frozen(tokenizer: Any, ids: tuple[int, ...]) -> dict[str, int]:
    """The labels of a model's YAML, which must be what the tokenizer calls those ids."""
    labels = [str(token) for token in tokenizer.convert_ids_to_tokens(list(ids))]
    if len(set(labels)) < len(labels) or any(not (label.isascii() and label.isalnum()) for label in labels):
        strange = next((label for label in labels if not (label.isascii() and label.isalnum())), "one of them twice")
        raise ModelError(f"label_ids: the tokenizer has {strange!r} where a label of letters is expected: they belong to another tokenizer")
    return dict(zip(labels, ids, strict=True))


def numbers(count: int = MOST) -> list[str]:
    """1, 2, …: the identifiers of models that write the whole ordering, token by token."""
    return [str(number) for number in range(1, count + 1)]
