"""Nasty inputs: each reader gives what it read, or an InputError that says something, from a stream as from a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from firstrank.reranker.errors import InputError
from tests.fuzz.nasty import nasty
from tests.reranker.runs.test_readers import VALID

NASTY = nasty()


def test_they_are_always_the_same():
    assert nasty() == NASTY
    assert len(NASTY) > 100


@pytest.mark.parametrize("read", VALID, ids=lambda read: read.__name__)
def test_a_reader_reads_or_says_why_not(read: Callable[[Any], Any], tmp_path):
    """From a stream and from a file, in the same words but for the name."""
    refused = 0
    for name, data in NASTY.items():
        said = []
        file = tmp_path / ("input.gz" if data[:2] == b"\x1f\x8b" else "input.txt")
        file.write_bytes(data)
        for source in (io.BytesIO(data), file):
            try:
                found = read(source)
                found = list(found) if not hasattr(found, "keys") else found
                said.append(bool(found))
            except InputError as error:
                said.append(str(error).strip() != "")
                refused += 1
        assert said == [True, True] or name == "nothing", (name, said)
        file.unlink()
    assert refused > len(NASTY)
