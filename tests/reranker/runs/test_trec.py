"""TREC runs as trec_eval reads them; strict readers; safe writers."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import Ranked, Run, read_run, trec_order, write_run

letters = st.characters(min_codepoint=33, max_codepoint=0x24F, categories=("L", "N", "P"))
docids = st.lists(st.text(letters, min_size=1, max_size=5), min_size=1, max_size=12, unique=True)
scores = st.floats(-1e4, 1e4, width=64) | st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-9, 1.0 + 1e-7, 16777217.0, 16777216.0])


def lines(*rows: str) -> str:
    return "".join(row + "\n" for row in rows)


def test_order_is_score_then_docid_both_descending_and_rank_is_ignored() -> None:
    run = read_run(lines("q1 Q0 a 3 1.0 t", "q1 Q0 b 2 1.0 t", "q1 Q0 c 1 0.5 t", "q1 Q0 d 9 2 t"))
    assert run["q1"].docids == ("d", "b", "a", "c")
    assert run["q1"].scores.dtype == np.float32
    assert run["q1"].scores.tolist() == [2.0, 1.0, 1.0, 0.5]


def test_scores_are_compared_as_float32() -> None:
    run = read_run(lines("q Q0 a 1 16777217.0 t", "q Q0 b 2 16777216.0 t"))
    assert run["q"].docids == ("b", "a")  # equal in float32: docid decides


def test_a_querys_lines_need_not_stand_together() -> None:
    run = read_run(lines("q1 Q0 a 1 1 t", "q2 Q0 a 1 1 t", "q1 Q0 b 2 2 t"))
    assert list(run) == ["q1", "q2"]
    assert run["q1"].docids == ("b", "a")
    assert list(run.docids()) == ["b", "a", "a"]
    assert list(run.docids(depth=1)) == ["b", "a"]
    assert list(run.rows()) == [("q1", "b", 2.0), ("q1", "a", 1.0), ("q2", "a", 1.0)]


@settings(max_examples=200, deadline=None)
@given(docids, st.data())
def test_order_is_that_of_trec_eval(ids: list[str], data: st.DataObject) -> None:
    """With one relevant docid, pytrec_eval's reciprocal rank is 1 / its place in trec_eval's order."""
    values = data.draw(st.lists(scores, min_size=len(ids), max_size=len(ids)))
    order = [ids[i] for i in trec_order(ids, values)]
    assert order == list(read_run("".join(f"q Q0 {d} 0 {v!r} t\n" for d, v in zip(ids, values, strict=True)))["q"].docids)
    for place, docid in enumerate(order, 1):
        judged = pytrec_eval.RelevanceEvaluator({"q": {docid: 1}}, {"recip_rank"})
        measured = judged.evaluate({"q": dict(zip(ids, values, strict=True))})["q"]["recip_rank"]
        assert measured == pytest.approx(1 / place)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("q Q0 d 1 1.0", "5 columns"),
        ("q Q0 d 1 1.0 t more", "7 columns"),
        ("q Q0 d 1 high t", "'high' is not a number"),
        ("q Q0 d 1 1_0 t", "not a finite number"),
        ("q Q0 d 1 nan t", "not a finite number"),
        ("q Q0 d 1 -inf t", "not a finite number"),
        ("q Q0 d 1 1e39 t", "too large for float32"),
        ("q Q0 a 1 0.5 t", "docid 'a' comes twice for query 'q' .first on line 1"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, row: str, problem: str) -> None:
    file = tmp_path / "bad.trec"
    file.write_text(lines("q Q0 a 1 3.0 t", "other Q0 a 1 3.0 t", row, "q Q0 z 1 0.1 t"))
    with pytest.raises(FormatError, match=problem) as caught:
        read_run(file)
    assert (caught.value.path, caught.value.line) == (str(file), 3)
    assert caught.value.exit_code == 2


def test_wrong_encoding_and_empty_runs_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "bad.trec"
    file.write_bytes(b"q Q0 a 1 3.0 t\nq Q0 caf\xe9 2 2.0 t\n")
    with pytest.raises(FormatError, match=r"bad\.trec:2: wrong encoding"):
        read_run(file)
    for content in (b"", b"\n \n", gzip.compress(b"")):
        file.write_bytes(content)
        with pytest.raises(FormatError, match=r"bad\.trec:1: the run is empty"):
            read_run(file)


def test_ids_are_split_on_ascii_white_space_only() -> None:
    assert read_run("q\u00a01 Q0\td\u2003x 1 1.0 t\n")["q\u00a01"].docids == ("d\u2003x",)


@settings(max_examples=200, deadline=None)
@given(st.lists(scores, min_size=1, max_size=40))
def test_written_scores_strictly_decrease_in_float32(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    file = tmp_path_factory.getbasetemp() / "written.trec"
    ordered = sorted((float(np.float32(v)) for v in values), reverse=True)
    ids = tuple(f"d{i}" for i in range(len(values)))
    write_run(file, [Ranked("q", ids, np.array(ordered, np.float32))])
    printed = np.array([float(line.split()[4]) for line in file.read_text().splitlines()], np.float32)
    assert (np.diff(printed) < 0).all()
    assert np.allclose(printed, ordered, rtol=1e-5, atol=1e-5)
    assert read_run(file)["q"].docids == ids


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20, unique=True))
def test_distinct_float32_scores_come_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    file = tmp_path_factory.getbasetemp() / "bits.trec.gz"
    ordered = np.array(sorted({v + 0.0 for v in values}, reverse=True), np.float32)
    write_run(file, [Ranked("q", tuple(map(str, range(len(ordered)))), ordered)])
    assert read_run(file)["q"].scores.tobytes() == ordered.tobytes()


@pytest.mark.parametrize(
    ("ranked", "problem"),
    [
        (Ranked("q", ("a", "b"), np.array([1, math.nan], np.float32)), "score of 'b' is nan"),
        (Ranked("q", ("a",), np.array([math.inf], np.float32)), "not a finite"),
        (Ranked("q", ("a", "b"), np.array([1, 2], np.float32)), "'b' scores higher"),
        (Ranked("q", ("a", "a"), np.array([2, 1], np.float32)), "docid twice"),
        (Ranked("q", ("a b",), np.array([1], np.float32)), "white space"),
        (Ranked("", ("a",), np.array([1], np.float32)), "white space"),
        (Ranked("ok", ("a",), np.array([1], np.float32)), "comes twice"),
    ],
)
def test_what_a_run_cannot_hold_is_refused_and_nothing_written(tmp_path: Path, ranked: Ranked, problem: str) -> None:
    good = Ranked("ok", ("a",), np.array([1], np.float32))
    with pytest.raises(InputError, match=problem):
        write_run(tmp_path / "out.trec", [good, ranked])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named() -> None:
    with pytest.raises(MachineError, match="/dev/full"):
        write_run("/dev/full", [Ranked("q", ("a",), np.array([1], np.float32))])


def test_top_and_without() -> None:
    ranked = Ranked("b", ("a", "b", "c"), np.array([3, 2, 1], np.float32))
    assert ranked.top(2).docids == ("a", "b")
    assert ranked.without("b").docids == ("a", "c")
    assert ranked.without("b").scores.tolist() == [3, 1]
    assert ranked.without("z") is ranked


def test_a_run_made_by_hand() -> None:
    run = Run([Ranked("q", ("a",), np.array([1], np.float32)), Ranked("none", (), np.empty(0, np.float32))])
    assert run["q"].docids == ("a",)
    assert run["none"].docids == ()
    assert Run([Ranked("q", ("",), np.array([1], np.float32))])["q"].docids == ("",)


def test_the_first_queries_of_a_run() -> None:
    run = read_run(lines("q1 Q0 a 1 1.0 t", "q2 Q0 b 1 1.0 t", "q3 Q0 c 1 1.0 t"))
    assert list(run.first(2)) == ["q1", "q2"]
    assert run.first(None) is run
    assert dict(run.first(9)) == dict(run)


def test_a_docid_with_a_line_break_is_held_though_no_trec_file_can(tmp_path: Path) -> None:
    run = Run([Ranked("q", ("a\nb", "c"), np.array([2, 1], np.float32))])
    assert run["q"].docids == ("a\nb", "c")
    with pytest.raises(InputError, match="white space"):
        write_run(tmp_path / "out.trec", run.values())


@pytest.mark.parametrize(
    ("collection", "name", "expected"),
    [
        ("msmarco-v1-dl19", "bm25", 0.5058),
        ("msmarco-v1-dl19", "tasb", 0.7210),
        ("msmarco-v1-dl19", "spladepp_ed", 0.7308),
        ("msmarco-v1-dl19", "llm/rankvicuna_bm25", 0.6682),
        ("msmarco-v2-dl21", "spladepp_ed", 0.6846),  # 499 tied scores
    ],
)
def test_real_runs_keep_their_ndcg(data: Path, tmp_path: Path, collection: str, name: str, expected: float) -> None:
    run = read_run(data / collection / "runs" / f"{name}.trec.gz")
    write_run(tmp_path / "again.trec.gz", run.values())
    again = read_run(tmp_path / "again.trec.gz")
    assert [ranked.docids for ranked in again.values()] == [ranked.docids for ranked in run.values()]
    qrels = read_qrels(data / collection)
    for one in (run, again):
        scored = {ranked.qid: dict(zip(ranked.docids, ranked.scores.tolist(), strict=True)) for ranked in one.values()}
        measured = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(scored)
        assert sum(query["ndcg_cut_10"] for query in measured.values()) / len(qrels) == pytest.approx(expected, abs=5e-5)
