"""What a system costs, and how well a generating model answers, from traces."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firstrank.eval.answers import responses_of
from firstrank.eval.costs import latency_of, read_traces
from firstrank.reranker.errors import FormatError
from firstrank.reranker.prompt.orderings import Faults


def window(n=3, *notes):
    return {"round": 1, "docids": [f"d{i}" for i in range(n)], "prompt_tokens": 50, "seconds": 0.1, "scorer": "m", "notes": list(notes)}


def trace(seconds=1.0, windows=None, generated=0, qid="q", notes=()):
    windows = windows or [window()]
    tokens = sum(one["prompt_tokens"] for one in windows)
    spent = {"rounds": len(windows), "prompt_tokens": tokens, "generated_tokens": generated, "seconds": seconds}
    return {"qid": qid, "windows": windows, "notes": list(notes)} | spent


def test_percentiles_are_numpys():
    seconds = [0.5, 0.1, 0.9, 0.3, 0.7]
    found = latency_of([trace(one) for one in seconds])
    assert (found.p50, found.p95, found.p99) == pytest.approx(tuple(np.percentile(seconds, [50, 95, 99])))
    assert (found.lowest, found.highest, found.mean) == pytest.approx((0.1, 0.9, 0.5))


def test_counts_are_means_a_query():
    found = latency_of([trace(windows=[window()] * 9), trace()])
    assert (found.windows, found.rounds, found.prompt_tokens, found.queries) == (5.0, 5.0, 250.0, 2)


def test_answers_are_counted_window_by_window():
    faulty = str(Faults(repeated=2, missing=1, foreign=0))
    found = responses_of([trace(windows=[window(3, faulty), window(3, faulty)], generated=20), trace(windows=[window(4)], generated=12)])
    assert found.windows == 3
    assert found.well_formed == pytest.approx(1 / 3)
    assert (found.with_repeated, found.with_missing, found.with_foreign) == pytest.approx((2 / 3, 2 / 3, 0))
    assert (found.identifiers, found.repeated, found.missing, found.foreign) == (10, 4, 2, 0)


def test_a_single_windows_answer_may_be_told_by_the_request():
    old = {key: value for key, value in window().items() if key != "notes"}
    found = responses_of([trace(windows=[old], generated=9, notes=[str(Faults(0, 0, 3))])])
    assert (found.well_formed, found.foreign) == (0, 3)


def test_a_request_of_several_windows_does_not_say_whose_answer_it_was():
    found = responses_of([trace(windows=[window(), window()], generated=20, notes=[str(Faults(0, 0, 3))])])
    assert (found.windows, found.well_formed) == (2, 1)


@pytest.mark.parametrize("generated", [0, 1])
def test_reading_logits_is_no_answer(generated):
    assert responses_of([trace(generated=generated)]) is None


def test_traces_are_read_as_rerank_writes_them(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(trace(qid="7")) + "\n")
    assert [one["qid"] for one in read_traces(path)] == ["7"]


@pytest.mark.parametrize("line", ["{}", '{"windows": [], "rounds": "two"}', "", "[1]"])
def test_what_is_no_trace_names_file_and_line(tmp_path, line):
    path = tmp_path / "t.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(FormatError, match=r"t\.jsonl:1"):
        read_traces(path)
