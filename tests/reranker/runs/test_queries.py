"""Queries in each of their forms."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.queries import Query, read_queries

EXPECTED = [Query("1", "first query"), Query("2", "zweite Anfrage, größer")]


@pytest.mark.parametrize(
    "text",
    [
        '{"_id": "1", "text": "first query"}\n{"_id": 2, "text": "zweite Anfrage, größer"}\n',
        '{"id": "1", "query": "first query"}\n\n{"qid": "2", "title": "zweite Anfrage, gr\\u00f6\\u00dfer"}\n',
        "1\tfirst query\r\n2\tzweite Anfrage, größer\r\n",
        "qid\tquery\n1\tfirst query\n2\tzweite Anfrage, größer\n",
        "<top>\n\n<num> Number: 1\n<title> first\nquery\n\n<desc> Description:\nlong\n</top>\n"
        "<top>\n<num>2</num><title>zweite Anfrage, größer</title>\n</top>\n",
    ],
)
def test_each_form_reads_the_same(text: str) -> None:
    assert list(read_queries(text)) == EXPECTED
    assert list(read_queries(io.StringIO(text))) == EXPECTED


def test_a_tab_in_a_query_is_part_of_it() -> None:
    assert list(read_queries("1\tone\ttwo\n")) == [Query("1", "one\ttwo")]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("1 first query\n", 1, "<TAB>"),
        ("1\tfirst\n2 second\n", 2, "<TAB>"),
        ("1\tfirst\n1\tsecond\n", 2, "comes twice .first on line 1"),
        ('{"_id": "1", "text": "a"}\n2\tb\n', 2, "JSON"),
        ('{"_id": "1"}\n', 1, "no text"),
        ('{"text": "a"}\n', 1, "no id"),
        ('{"_id": 1.5, "text": "a"}\n', 1, "'_id' must be a string or a whole number"),
        ('{"_id": "", "text": "a"}\n', 1, "'_id' must be"),
        ('{"_id": "1", "text": ["a"]}\n', 1, "'text' must be a string, not list"),
        ("<top>\n<title> a\n</top>\n", 1, "without <num>"),
        ("<top>\n<num> 1\n<title> a\n", 1, "</top> is missing"),
        ("\n", 1, "no queries"),
    ],
)
def test_a_malformed_line_is_named(text: str, line: int, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        list(read_queries(text))
    assert caught.value.line == line


def test_a_folder_and_a_gzip_file(data: Path, tmp_path: Path) -> None:
    from_folder = list(read_queries(data / "msmarco-v1-dl19"))
    assert len(from_folder) == 43
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress((data / "msmarco-v1-dl19" / "queries.jsonl").read_bytes()))
    assert list(read_queries(str(tmp_path))) == from_folder
    with pytest.raises(InputError, match=r"no queries\.jsonl"):
        list(read_queries(data))
