"""Collections in the layouts that they are published in."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from firstrank.reranker.batch.tasks import queries_of
from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import open_texts, read_passages
from firstrank.reranker.types import Passage

V2 = {"pid": "msmarco_passage_00_0", "passage": "a text", "spans": "(0,6)", "docid": "msmarco_doc_00_0"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (json.dumps(V2), Passage("msmarco_passage_00_0", "a text")),
        (json.dumps(dict(reversed(V2.items()))), Passage("msmarco_passage_00_0", "a text")),
        (
            '{"url": "u", "title": "T", "body": "a text", "docid": "msmarco_doc_00_0"}',
            Passage("msmarco_doc_00_0", "a text", "T"),
        ),
        (
            '{"docid": "v2.1_0#1_2", "title": "T", "segment": "a text", "end_char": 1}',
            Passage("v2.1_0#1_2", "a text", "T"),
        ),
        ("7130104\ta text", Passage("7130104", "a text")),
        ("D1555982\thttps://answers.yahoo.com\tT\ta text", Passage("D1555982", "a text", "T")),
        ("D1\thttp://a.b\t\t", Passage("D1", "", "")),
        ('{"id": "0", "contents": "a text"}', Passage("0", "a text")),
        ('{"_id": 12, "title": "T", "text": "a text", "metadata": {}}', Passage("12", "a text", "T")),
        ('{"_id": "007", "title": null, "text": "a text"}', Passage("007", "a text")),
        ('{"docno": "FT911-1", "body": "a text"}', Passage("FT911-1", "a text")),
    ],
)
def test_a_passage_in_its_published_layout(line: str, expected: Passage) -> None:
    assert list(read_passages(line + "\n")) == [expected]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1\t2\ta query\ta passage", "4 columns"),
        ("<DOC>\n<DOCNO>1</DOCNO>", "XML documents are not read"),
        ("d 1\ta text", "'d 1' holds white space"),
        ('{"_id": "d 1", "text": "x"}', "'d 1' holds white space"),
        ('{"_id": "d1 ", "text": "x"}', "'d1 ' holds white space"),
        ('{"_id": 1.0, "text": "x"}', "must be a string or a whole number"),
    ],
)
def test_what_is_no_passage_is_named(line: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        list(read_passages(line + "\n"))
    assert caught.value.line == 1


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq\td\t1.0\nq\te\t0.0\n",
        "query-id Q0 corpus-id score\nq Q0 d 1.0 \nq Q0 e 0\n",
        "qid 0 docid grade\nq 0 d 1\nq 0 e -0.0\n",
        "q d 1\nq e 0\n",
        "q 0 d 1e0\nq 0 e 0\n",
        '{"query-id": "q", "corpus-id": "d", "score": 1.0}\n{"query-id": "q", "corpus-id": "e", "score": 0.0}\n',
        '{"query_id": "q", "doc_id": "d", "relevance": "1.0"}\n{"query_id": "q", "doc_id": "e", "relevance": "0"}\n',
    ],
)
def test_grades_and_columns_as_tools_write_them(text: str) -> None:
    assert read_qrels(text) == {"q": {"d": 1, "e": 0}}


@pytest.mark.parametrize("grade", ["0.5", "nan", "inf", "-inf", "1_0", "1,0", "0x1", "NaN", "1e400"])
def test_a_grade_that_is_no_whole_number(grade: str) -> None:
    with pytest.raises(FormatError, match="is not a whole number"):
        read_qrels(f"q 0 a 1\nq 0 d {grade}\n")


@pytest.mark.parametrize("text", ["q 1\tx\n", '{"_id": "q 1", "text": "x"}\n', '{"_id": "q\\t1", "text": "x"}\n'])
def test_white_space_in_a_qid_is_found_while_reading(text: str) -> None:
    with pytest.raises(FormatError, match="holds white space: no TREC run can hold it"):
        list(read_queries(text))


@pytest.mark.parametrize(("asked", "there"), [("51", "051"), ("051", "51"), ("Q1", "q1"), ("7", "7.0"), ("7", '"7"')])
def test_an_id_in_another_spelling_is_named(tmp_path: Path, asked: str, there: str) -> None:
    run = read_run(f"{asked} Q0 {asked} 1 1.0 t\n")
    with pytest.raises(InputError) as caught:
        queries_of(run, [(there, "a")], "queries.tsv")
    assert f"it has {there!r} where {asked!r} is asked for" in str(caught.value)
    corpus = tmp_path / "corpus.tsv"
    corpus.write_text(f"x\ty\n{there}\ta\n")
    with pytest.raises(InputError) as caught:
        open_texts(corpus, run.docids)
    assert f"it has {there!r} where {asked!r} is asked for" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["q\t\nr\t  \ns\tx\n", '{"_id": "q", "text": null}\n{"_id": "r", "text": " "}\n{"_id": "s", "text": "x"}\n']
)
def test_empty_queries_are_counted(text: str, caplog: pytest.LogCaptureFixture) -> None:
    run = read_run("q Q0 d 1 1.0 t\nr Q0 d 1 1.0 t\ns Q0 d 1 1.0 t\n")
    with caplog.at_level(logging.WARNING):
        assert len(queries_of(run, read_queries(text), "queries")) == 3
    assert [record.message for record in caplog.records] == ["queries: 2 queries are empty ('q', 'r'): ranked like any other"]
