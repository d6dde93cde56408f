"""JSON as other tools write it: one object a line, one array, objects laid out over lines."""

from __future__ import annotations

import io
import json

import pytest

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.runs.rankllm import read_requests
from firstrank.reranker.runs.records import json_lines, records
from firstrank.reranker.texts.sources import read_passages

OBJECTS = [{"a": 'br]ack}et{s [ "quoted" \\'}, {"a": {"b": [{}, []]}}, {"a": "größer\n"}]


def written(**how):
    return [
        json.dumps(OBJECTS, **how),
        "\n".join(json.dumps(one, **how) for one in OBJECTS),
        json.dumps(OBJECTS, indent=2, **how),
        "\n".join(json.dumps(one, indent=2, **how) for one in OBJECTS),
        "\n\n [\n" + ",\n".join(json.dumps(one, **how) for one in OBJECTS) + "\n]\n\n",
        "[" + "\n,".join(json.dumps(one, indent="\t", **how) for one in OBJECTS) + "]",
        json.dumps(OBJECTS, indent=2, **how).replace("\n", "\r\n"),
    ]


@pytest.mark.parametrize("text", [*written(), *written(ensure_ascii=False)])
def test_all_layouts_hold_the_same_objects(text):
    assert [found for _, found in json_lines(io.StringIO(text))] == OBJECTS


def test_lines_are_those_where_objects_begin():
    assert [number for number, _ in json_lines('[\n{"a": 1},\n{"a":\n2},\n\n{"a": 3}]\n')] == [2, 3, 6]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('[\n{"a": 1},\n{"a": 2}\n', 3, "array does not end: is the file cut short"),
        ('[\n{"a": 1},\n{"a":\n', 3, "object that does not end: is the file cut short"),
        ('[\n{"a": 1},\nnull\n]\n', 3, "'null' between objects"),
        ('[\n{"a": 1}, "x"]\n', 2, "JSON objects are expected"),
        ('[\n[{"a": 1}]]\n', 2, "JSON objects are expected"),
        ('[{"a": 1}]\n{"a": 2}\n', 2, "JSON objects are expected"),
        ('[{"a": 1}]]\n', 1, "JSON objects are expected"),
        ('{\n"a": 1,\n"b": x\n}\n', 3, "not valid JSON"),
        ('{\n"a": "1\n}\n', 2, "a string does not end"),
        ("[{\n]\n}\n", 2, "not valid JSON"),
    ],
)
def test_what_is_no_array_of_objects_names_its_line(text, line, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        list(json_lines(text))
    assert caught.value.line == line


def test_an_empty_array_holds_nothing():
    assert list(json_lines("[]\n")) == list(json_lines("[\n\n]\n")) == []


def test_other_lines_are_left_alone():
    assert list(records("[1]\tone\n[2]\ttwo\n")) == [(1, b"[1]\tone"), (2, b"[2]\ttwo")]
    assert list(read_queries("[1]\tone\n")) == [Query("[1]", "one")]


def test_every_reader_takes_an_array():
    assert list(read_queries('[{"_id": "1", "text": "a"},\n{"_id": 2, "text": "b"}]')) == [Query("1", "a"), Query("2", "b")]
    assert read_qrels('[\n{"query-id": "q", "corpus-id": "d", "score": 1.0}]') == {"q": {"d": 1}}
    assert [passage.docid for passage in read_passages('{\n"_id": "d", "text": "x"\n}\n{\n"_id": "e", "text": "y"\n}')] == ["d", "e"]
    request = {"query": {"text": "q", "qid": 1}, "candidates": [{"docid": "d", "score": 1, "doc": {"segment": "x"}}]}
    other = request | {"query": {"text": "r", "qid": "2"}}
    for text in (json.dumps([request, other], indent=2), json.dumps([request, other]) + "\n"):
        assert [(scored.request.qid, scored.request.passages[0].text) for scored in read_requests(text)] == [("1", "x"), ("2", "x")]


def test_rankllms_list_without_queries_is_named():
    with pytest.raises(FormatError, match="no requests"):
        list(read_requests("[\n]"))
