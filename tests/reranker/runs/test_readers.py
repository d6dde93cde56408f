"""Whatever the bytes, a reader gives what it read or an InputError: never another exception."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import Source
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.rankllm import read_requests
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import read_passages

VALID = {
    read_run: b"q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\nq2 Q0 d1 1 -3e-5 tag\n",
    read_qrels: b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n",
    read_queries: b'{"_id": "q1", "text": "what"}\n{"_id": 2, "text": "why \xc3\xa9"}\n',
    read_requests: json.dumps(
        {"query": {"text": "what", "qid": 1}, "candidates": [{"docid": "a", "score": 1.5, "doc": {"title": "t", "text": "x"}}]}
    ).encode(),
    read_passages: b"d1\tone text\td title\nd2\ttwo\n",
}
OTHER_FORMS = {
    read_qrels: b"q1 0 d1 1\nq1 0 d2 -1\n",
    read_queries: b"<top>\n<num> Number: 1\n<title> what\n</top>\n",
    read_passages: b'{"_id": "d1", "title": null, "text": "one"}\n{"id": 2, "contents": "two"}\n',
}


def consumed(read: Callable[[Source], Any], data: bytes) -> Any:
    found = read(io.BytesIO(data))
    return list(found) if isinstance(found, Iterator) else found


@pytest.mark.parametrize(("read", "data"), [*VALID.items(), *OTHER_FORMS.items()])
@settings(max_examples=150, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4))
def test_damaged_input_gives_an_input_error_or_a_reading(
    read: Callable[[Source], Any], data: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    assert consumed(read, data)
    for place, cut, put in edits:
        place %= len(data) + 1
        data = data[:place] + put + data[place + cut :]
    try:
        found = consumed(read, data)
    except InputError:
        return
    assert found
    if read is read_run:
        for ranked in found.values():
            assert np.isfinite(ranked.scores).all()
            assert (np.diff(ranked.scores) <= 0).all()
            assert len(set(ranked.docids)) == len(ranked.docids) > 0


@pytest.mark.parametrize("read", VALID)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_give_an_input_error_or_a_reading(read: Callable[[Source], Any], data: bytes) -> None:
    with suppress(InputError):
        assert consumed(read, data)
