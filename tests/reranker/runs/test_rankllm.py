"""RankLLM's JSONL, in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import FormatError
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
    with pytest.raises(FormatError, match="no requests"):
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
