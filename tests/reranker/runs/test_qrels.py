"""Judgments in each of their forms."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.qrels import read_qrels

EXPECTED = {"q1": {"a": 1, "b": -1}, "q2": {"a": 0}}


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 a 1\nq1 0 b -1\nq2 0 a 0\n",
        "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t-1\nq2\ta\t0\n",
        "q1\ta\t1\nq1\tb\t-1\nq2\ta\t0\n",
        '{"query-id": "q1", "corpus-id": "a", "score": 1}\n{"qid": "q1", "docid": "b", "grade": -1}\n'
        '{"query-id": "q2", "corpus-id": "a", "score": 0}\n',
    ],
)
def test_each_form_reads_the_same(text: str) -> None:
    assert read_qrels(text) == EXPECTED


def test_beir_ids_may_hold_spaces_and_json_ids_may_be_numbers() -> None:
    assert read_qrels("query-id\tcorpus-id\tscore\nq 1\tdoc 1\t2\n") == {"q 1": {"doc 1": 2}}
    assert read_qrels('{"query-id": 7, "corpus-id": 8, "score": 2}\n') == {"7": {"8": 2}}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("q1 0 a 1\nq1 0 b\n", 2, "3 columns"),
        ("q1 a\n", 1, "2 columns"),
        ("q1 0 a 1\nq1 0 b high\n", 2, "'high' is not a whole number"),
        ("q1 0 a 1.5\n", 1, "'1.5' is not a whole number"),
        ("q1 0 a 1\nq1 0 a 2\n", 2, "judged twice"),
        ("query-id\tcorpus-id\tscore\nq1 0 a 1\n", 2, "1 columns"),
        ("query-id\tcorpus-id\tscore\nq1\t\t1\n", 2, "columns"),
        ('{"query-id": "q", "corpus-id": "a"}\n', 1, "no grade"),
        ('{"query-id": "q", "corpus-id": "a", "score": true}\n', 1, "not a whole number"),
        ('{"corpus-id": "a", "score": 1}\n', 1, "no id"),
        ("query-id\tcorpus-id\tscore\n", 1, "no judgments"),
        ("\n", 1, "no judgments"),
    ],
)
def test_a_malformed_line_is_named(text: str, line: int, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        read_qrels(text)
    assert caught.value.line == line


def test_a_folder_is_read_by_split(data: Path) -> None:
    assert len(read_qrels(data / "nfcorpus")) == 323
    assert sum(map(len, read_qrels(str(data / "nfcorpus"), split="dev").values())) == 11385
    with pytest.raises(InputError, match=r"no qrels/valid\.tsv; the splits there are dev, test, train"):
        read_qrels(data / "nfcorpus", split="valid")


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no qrels/test\.tsv$"):
        read_qrels(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text("q\td\t1\n")
    (tmp_path / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(b"q\td\t2\n"))
    with pytest.raises(InputError, match=r"no qrels/test\.tsv; the splits there are dev, train$"):
        read_qrels(tmp_path)
    assert read_qrels(tmp_path, "dev") == read_qrels(str(tmp_path / "qrels"), "dev") == {"q": {"d": 2}}
