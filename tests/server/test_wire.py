"""What a refusal of a body says."""

from __future__ import annotations

import json

import pytest

from firstrank.server.errors import Refused
from firstrank.server.wire import parse_json


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"query": "q", "documents": ["a", "b", "caf\ud83d"]}, "documents.2"),
        ({"query": "q", "documents": ["a", {"text": "x\udc00y"}]}, "documents.1.text"),
        ({"query": "q", "documents": [{"text": "x", "title": "\ud800"}]}, "documents.0.title"),
        ({"query": "\ud800", "documents": ["a"]}, "query"),
        ({"query": "q", "texts": ["a", "\udfff"]}, "texts.1"),
        ({"query": "q", "\ud800": 1}, "the body"),
    ],
)
def test_half_a_pair_is_named(body, where):
    with pytest.raises(Refused, match=f"^{where}: holds half a surrogate pair"):
        parse_json(json.dumps(body).encode())


def test_half_a_pair_far_inside_is_no_fault_of_the_server():
    deep = b'{"query": "q", "x": ' + b"[" * 700 + b'"\\ud800"' + b"]" * 700 + b"}"
    with pytest.raises(Refused, match=r"half a surrogate pair|not JSON"):
        parse_json(deep)


def test_a_byte_order_mark_is_skipped():
    assert parse_json(b'\xef\xbb\xbf{"query": "q"}') == {"query": "q"}
