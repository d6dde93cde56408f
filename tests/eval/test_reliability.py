"""How good probabilities are, by hand: four queries whose every figure can be counted."""

from __future__ import annotations

import json

import pytest

from firstrank.eval.costs import read_traces
from firstrank.eval.reliability import reliability_of
from firstrank.reranker.errors import FormatError

QRELS = {"q0": {"a": 2, "b": 1}, "q1": {"a": 1}, "q2": {"c": 2, "other": 3}}
LISTS = {"q0": {"a": 0.9, "b": 0.5}, "q1": {"a": 0.25, "b": 0.05}, "q2": {"c": 0.25, "d": 0.15}, "q3": {"a": 0.75, "b": 0.1}}
NOTHING = {"q0": 0.1, "q1": 0.8, "q2": 0.5, "q3": 0.3}


def trace(qid, **more):
    spent = {"windows": [], "rounds": 1, "prompt_tokens": 4, "generated_tokens": 0, "seconds": 1.0}
    return {"qid": qid, "calibrated": True, "probabilities": LISTS[qid], "nothing_relevant": NOTHING[qid]} | spent | more


TRACES = [trace(qid) for qid in LISTS]


def test_the_figures_are_those_that_a_hand_counts():
    found = reliability_of(TRACES, QRELS, 2, 0.25)
    assert (found.queries, found.candidates, found.relevant) == (4, 8, 0.25)
    said = [(0.9, 1), (0.5, 0), (0.25, 0), (0.05, 0), (0.25, 1), (0.15, 0), (0.75, 0), (0.1, 0)]
    assert found.brier == pytest.approx(sum((p - y) ** 2 for p, y in said) / 8)
    assert [(one.share, round(one.probability, 9), one.relevant) for one in found.bins] == [
        (1 / 8, 0.05, 0), (2 / 8, 0.125, 0), (2 / 8, 0.25, 0.5), (1 / 8, 0.5, 0), (1 / 8, 0.75, 0), (1 / 8, 0.9, 1),
    ]  # fmt: skip
    assert found.ece == pytest.approx((0.05 + 2 * 0.125 + 2 * 0.25 + 0.5 + 0.75 + 0.1) / 8)
    # 0.9 beats all 6 others; 0.25 beats 3, is level with one, and loses to 2
    assert found.auroc == pytest.approx((6 + 3.5) / 12)


def test_queries_without_a_relevant_candidate_are_told_from_the_others():
    found = reliability_of(TRACES, QRELS, 2)
    assert found.without_relevant == 2  # q1 (a grade of 1) and q3 (not judged); what is relevant to q2 is partly not a candidate
    assert found.nothing_relevant_auroc == pytest.approx(3 / 4)  # 0.8 beats 0.1 and 0.5, 0.3 beats 0.1 only
    assert found.cut is None
    assert reliability_of([TRACES[0], TRACES[2]], QRELS, 2).nothing_relevant_auroc is None


def test_from_another_grade_on_other_candidates_are_relevant():
    assert reliability_of(TRACES, QRELS, 1).relevant == 0.5
    assert reliability_of(TRACES, QRELS, 3).auroc is None


def test_what_a_cut_keeps_and_drops():
    cut = reliability_of(TRACES, QRELS, 2, 0.3).cut
    assert (cut.relevant, cut.kept, cut.others, cut.dropped) == (2, 0.5, 6, 4 / 6)
    exact = reliability_of(TRACES, QRELS, 2, 0.25).cut  # what reaches it stays
    assert (exact.kept, exact.dropped) == (1.0, 3 / 6)
    assert reliability_of(TRACES, QRELS, 3, 0.5).cut.kept is None


def test_only_the_best_ten_count_for_a_cut():
    many = trace("q0", probabilities={f"d{n}": 0.9 - n / 100 for n in range(12)} | {"a": 0.01})
    cut = reliability_of([many], QRELS, 2, 0.85).cut
    assert (cut.relevant, cut.kept, cut.others, cut.dropped) == (0, None, 10, 0.4)


def test_what_is_not_calibrated_has_no_figures():
    assert reliability_of([], QRELS, 2) is None
    plain = {key: value for key, value in trace("q0", calibrated=False).items() if key != "probabilities"}
    assert reliability_of([plain], QRELS, 2, 0.5) is None
    assert reliability_of([plain, TRACES[2]], QRELS, 2).queries == 1


@pytest.mark.parametrize(
    "wrong", [{"probabilities": [0.5]}, {"probabilities": {"a": 1.5}}, {"probabilities": {"a": "x"}}, {"nothing_relevant": None}]
)
def test_a_trace_whose_probabilities_are_none_is_named(tmp_path, wrong):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (TRACES[0], trace("q1", **wrong))))
    with pytest.raises(FormatError, match=r"trace\.jsonl:2: .*from 0 to 1"):
        read_traces(path)
