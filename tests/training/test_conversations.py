"""Queries of RankZephyr-style prompts, of one line or more."""

from __future__ import annotations

import json

import pytest

from firstrank.training.data.conversations import from_conversations, rows_of
from firstrank.training.data.selection import Selection


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("Search Query: who wrote Emma?.\nRank the 2 passages above.", "who wrote Emma?"),
        ("Search Query: who wrote\nEmma?\n\nIn 1815.\nRank the 2 passages above.", "who wrote\nEmma?\n\nIn 1815"),
        ("Search Query: - one\n- two.\n\nRank the 2 passages above based on their relevance.", "- one\n- two"),
        ("Search Query: who wrote Emma?.\nSay the order.", "who wrote Emma?"),
    ],
)
def test_a_query_of_several_lines_is_read_whole(said: str, query: str) -> None:
    turns = [{"from": "human", "value": f"[A] bees\n[B] Austen\n{said}"}, {"from": "gpt", "value": "[B] > [A]"}]
    [example] = from_conversations(rows_of(json.dumps({"conversations": turns}) + "\n"), Selection())
    assert example.query == query
    assert [passage.text for passage in example.passages] == ["bees", "Austen"]
