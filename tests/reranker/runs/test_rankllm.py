"""RankLLM's JSONL, in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.opened import opened
from firstrank.reranker.runs.rankllm import ScoredRequest, read_lists, read_requests, write_requests
from firstrank.reranker.types import Passage, Request


def line(*candidates: dict[str, object], qid: object = "q") -> str:
    return json.dumps({"query": {"text": "what", "qid": qid}, "candidates": candidates}) + "\n"


@pytest.mark.parametrize(
    ("doc", "passage"),
    [
        ({"text": "a"}, Passage("7", "a")),
        ({"title": "t", "text": "a", "contents": "other"}, Passage("7", "a", "t")),
        ({"segment": "a", "contents": "other"}, Passage("7", "a")),
        ({"contents": "a", "body": "other"}, Passage("7", "a")),
        ({"content": "a"}, Passage("7", "a")),
        ({"body": "a", "passage": "other", "title": None}, Passage("7", "a")),
        ({"passage": "a", "url": "u"}, Passage("7", "a")),
    ],
)
def test_a_passages_text_is_where_rankllm_looks_for_it(doc: dict[str, object], passage: Passage) -> None:
    [scored] = read_requests(line({"docid": 7, "score": 2, "doc": doc}, qid=3))
    assert scored.request == Request("what", (passage,), "3")
    assert scored.scores.tolist() == [2.0]


def test_candidates_keep_their_order_and_may_lack_scores() -> None:
    one, two = {"docid": "a", "doc": {"text": ""}}, {"docid": "b", "doc": {"text": "b"}}
    [scored] = read_requests(line(one, two))
    assert [passage.docid for passage in scored.request.passages] == ["a", "b"]
    assert scored.scores.tolist() == [0.0, -1.0]
    [scored] = read_requests(line(one | {"score": 1.0}, two | {"score": 2.0}))
    assert [passage.docid for passage in scored.request.passages] == ["a", "b"]
    [scored] = read_requests(line())
    assert scored.request.passages == ()


OK = {"docid": "a", "score": 1.0, "doc": {"text": "a"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}\n", '"query"'),
        ('{"query": "what", "candidates": []}\n', '"query"'),
        ('{"query": {"text": "a"}, "candidates": []}\n', "no id"),
        ('{"query": {"qid": "1"}, "candidates": []}\n', "no text"),
        (line({"docid": "a", "score": 1.0}), '"doc"'),
        (line({"docid": "a", "score": 1.0, "doc": "text"}), '"doc"'),
        (line({"docid": "a", "score": 1.0, "doc": {"title": "t"}}), "no text"),
        (line({"score": 1.0, "doc": {"text": "a"}}), "no id"),
        (line(OK, OK), "came before"),
        (line(OK | {"score": float("nan")}), "not a finite float32"),
        (line(OK | {"score": 1e39}), "not a finite float32"),
        (line(OK | {"score": 10**400}), "not a finite float32"),
        (line(OK | {"score": "1"}), "not a finite float32"),
        (line(OK, OK | {"docid": "b", "score": None}), "'b' is None"),
        (line(OK, qid="first"), "comes twice"),
    ],
)
def test_a_malformed_line_is_named(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        list(read_requests(line(OK, qid="first") + text))
    assert caught.value.line == 2


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(FormatError, match=":1: no requests"):
        list(read_requests(tmp_path / "empty.jsonl"))


words = st.text(max_size=20)
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
ids = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=5)
scored_requests = st.builds(
    lambda query, qid, rows: ScoredRequest(
        Request(query, tuple(Passage(docid, text, title) for docid, text, title, _ in rows), qid),
        np.array([score for *_, score in rows], np.float32),
    ),
    words,
    ids,
    st.lists(st.tuples(ids, words, words, floats32), max_size=5, unique_by=lambda r: r[0]),
)


def test_the_lists_of_a_file_are_a_run_in_its_own_order() -> None:
    one, two = {"docid": "a", "doc": {"text": ""}}, {"docid": "b\nc", "doc": {"text": "b"}}
    run = read_lists(line(one | {"score": 1.0}, two | {"score": 2.0}, qid="q2") + line(two, one, qid="q1") + line(qid="none"))
    assert {qid: ranked.docids for qid, ranked in run.items()} == {"q2": ("a", "b\nc"), "q1": ("b\nc", "a"), "none": ()}
    assert list(run) == ["q2", "q1", "none"]


@settings(max_examples=100, deadline=None)
@given(st.lists(scored_requests, min_size=1, max_size=4, unique_by=lambda scored: scored.request.qid))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[ScoredRequest]) -> None:
    file = tmp_path_factory.getbasetemp() / "requests.jsonl.gz"
    write_requests(file, written)
    read = list(read_requests(file))
    assert [scored.request for scored in read] == [scored.request for scored in written]
    assert [scored.scores.tolist() for scored in read] == [scored.scores.tolist() for scored in written]


def test_requests_are_written_in_rankllm_s_form(tmp_path: Path) -> None:
    request = Request("what", (Passage("b", "text b", "title b"), Passage("a", "")), "q")
    write_requests(tmp_path / "results.jsonl", [ScoredRequest(request, np.array([0.75, 0.25], np.float32))])
    assert json.loads((tmp_path / "results.jsonl").read_text()) == {
        "query": {"text": "what", "qid": "q"},
        "candidates": [
            {"docid": "b", "score": 0.75, "doc": {"title": "title b", "text": "text b"}},
            {"docid": "a", "score": 0.25, "doc": {"text": ""}},
        ],
    }


@pytest.mark.parametrize("name", ["results.json", "results.json.gz", "results.jsonl", "results.ndjson"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_name_says_whether_an_array_is_written(tmp_path: Path, name: str, count: int) -> None:
    requests = [Request(f"what {i}", (Passage("b", "text"), Passage("a", "")), f"q{i}") for i in range(count)]
    write_requests(tmp_path / name, [ScoredRequest(request, np.array([2, 1], np.float32)) for request in requests])
    with opened(tmp_path / name) as file:
        text = file.read()
    assert isinstance(text, bytes)
    found = json.loads(text) if ".json" in Path(name.removesuffix(".gz")).suffixes else [json.loads(one) for one in text.splitlines()]
    assert [one["query"]["qid"] for one in found] == [request.qid for request in requests]
    if count:
        assert [scored.request for scored in read_requests(tmp_path / name)] == requests


@pytest.mark.parametrize(("qid", "docid"), [("q 1", "a"), ("q1", "a b"), ("q1\t", "a"), ("q1", " a"), ("q1", "a\nb")])
def test_ids_that_a_run_cannot_hold_are_refused_at_their_line(qid: str, docid: str) -> None:
    one = {"docid": "c", "doc": {"text": ""}}
    text = line(one, qid="fine") + line(one, {"docid": docid, "doc": {"text": ""}}, qid=qid)
    assert list(read_lists(text)) == ["fine", qid]
    with pytest.raises(FormatError, match="holds white space") as refused:
        read_lists(text, words=True)
    assert refused.value.line == 2


def test_empty_queries_are_counted_and_the_first_one_s_line_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    file = tmp_path / "requests.json"
    texts = ["what", "", " \t", "\u3000"]
    file.write_text(json.dumps([{"query": {"text": text, "qid": i}, "candidates": []} for i, text in enumerate(texts)], indent=1))
    read_lists(file)
    start = [text.strip() for text in file.read_text().splitlines()].index('"text": "",') - 1
    assert caplog.messages == [f"{file}:{start}: 3 queries are empty ('1', '2', '3'): ranked like any other"]


def test_a_score_that_float32_rounds_to_infinity_is_refused_and_one_below_is_not() -> None:
    most = 2.0**128 - 2.0**103
    [scored] = read_requests(line(OK | {"score": np.nextafter(most, 0.0)}))
    assert np.isfinite(scored.scores).all()
    with pytest.raises(FormatError, match="not a finite float32"):
        list(read_requests(line(OK | {"score": most})))


def test_letters_are_written_as_they_are_and_what_is_no_number_is_not(tmp_path: Path) -> None:
    request = Request("größer?", (Passage("a", "größer"),), "q")
    write_requests(tmp_path / "out.jsonl", [ScoredRequest(request, np.array([1], np.float32))])
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").count("größer") == 2
    with pytest.raises(ValueError, match="Out of range float values"):
        write_requests(tmp_path / "nan.jsonl", [ScoredRequest(request, np.array([np.nan], np.float32))])
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]
