"""Systems side by side, with figures that can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firstrank.eval.datasets import Dataset
from firstrank.eval.evaluation import Method, System, evaluate
from firstrank.eval.report.files import report_object, write_json
from firstrank.eval.report.html import report_page
from firstrank.eval.report.tables import latex, markdown
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.trec import Ranked, Run


def dataset_of(queries):
    qids = [f"q{i}" for i in range(queries)]
    return Dataset("made", "nowhere", "test", {qid: f"query {qid}" for qid in qids}, {qid: {"good": 1, "bad": 0} for qid in qids})


def system(name, best):
    """A run that ranks the good document first for the queries in `best`, second for the others."""
    lists = ((qid, ("good", "bad") if good else ("bad", "good")) for qid, good in best.items())
    return System(name, Run(Ranked(qid, docids, np.array([2, 1], np.float32)) for qid, docids in lists))


def test_wins_ties_and_losses_are_counted():
    a = system("a", {"q0": True, "q1": True, "q2": False, "q3": False, "q4": False})
    b = system("b", {"q0": True, "q1": False, "q2": True, "q3": True, "q4": False})
    [found] = evaluate(dataset_of(5), [a, b], ["P@1"]).comparisons
    assert (found.a, found.b, found.wins, found.ties, found.losses) == ("a", "b", 2, 2, 1)
    assert found.difference.mean == pytest.approx(0.2)


def test_the_family_of_the_correction_is_all_pairs_of_a_measure():
    draw = np.random.default_rng(0)
    systems = [system(name, {f"q{i}": bool(draw.integers(2)) for i in range(30)}) for name in "abc"]
    found = evaluate(dataset_of(30), systems, ["P@1", "RR@10"]).comparisons
    assert [(one.measure, one.a, one.b) for one in found] == [(m, *pair) for m in ("P@1", "RR@10") for pair in ("ab", "ac", "bc")]
    smallest = min(found[:3], key=lambda one: one.randomisation)
    assert smallest.randomisation_adjusted == pytest.approx(min(1, 3 * smallest.randomisation))


def test_judged_is_shown_and_not_tested():
    found = evaluate(dataset_of(3), [system(name, {"q0": True}) for name in "ab"], ["nDCG@10", "Judged@10"])
    assert {one.measure for one in found.comparisons} == {"nDCG@10"}
    assert found.systems[0].estimates["Judged@10"].mean == pytest.approx(1 / 3)


def test_one_query_is_measured_and_what_cannot_be_computed_is_null(tmp_path):
    found = evaluate(dataset_of(1), [system("a", {"q0": True}), system("b", {"q0": False})], ["P@1"])
    write_json(tmp_path / "r.json", report_object(found, {}))
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["systems"][0]["measures"]["P@1"] == {"mean": 1.0, "low": None, "high": None}
    assert read["comparisons"][0]["t"] is None
    assert read["comparisons"][0]["significant"] is False


def test_two_systems_of_one_name_are_refused():
    with pytest.raises(InputError, match="the same name"):
        evaluate(dataset_of(1), [system("a", {"q0": True})] * 2)


def many(count, queries=60):
    """Systems that differ; the last is better than all others on every query but one."""
    draw = np.random.default_rng(1)
    found = [system(f"s{n}", {f"q{i}": bool(draw.random() < 0.3) for i in range(queries)}) for n in range(count - 1)]
    return [*found, system("best", {f"q{i}": i > 0 for i in range(queries)})]


@pytest.mark.parametrize("count", [3, 23, 40])
def test_what_is_significant_does_not_depend_on_how_many_systems_there_are(count):
    found = evaluate(dataset_of(60), many(count), ["P@1"])
    assert len(found.comparisons) == count * (count - 1) // 2
    assert all(one.significant for one in found.comparisons if one.b == "best")


def test_with_a_baseline_the_family_is_the_comparisons_with_it():
    found = evaluate(dataset_of(60), many(5), ["P@1"], Method(baseline="best"))
    assert [(one.a, one.b) for one in found.comparisons] == [("best", f"s{n}") for n in range(4)]
    assert "over 4 comparisons: each system against best" in found.tested
    with pytest.raises(InputError, match="--baseline nobody: none of the systems; they are s0"):
        evaluate(dataset_of(60), many(3), ["P@1"], Method(baseline="nobody"))


@pytest.mark.parametrize(
    ("correction", "said"),
    [("holm", "Holm's correction"), ("bonferroni", "Bonferroni's"), ("bh", "Benjamini and Hochberg's"), ("none", "no correction")],
)
def test_the_report_says_which_family_was_tested_and_how(correction, said):
    found = evaluate(dataset_of(60), many(4), ["P@1"], Method(correction=correction))
    assert "60" not in found.tested.split(";")[0]
    assert said in found.tested
    assert "over 6 comparisons: all pairs of 4 systems, each measure by itself" in found.tested
    assert found.tested in markdown(found)
    assert report_object(found, {})["tested"] == found.tested
    raw = [one.randomisation for one in found.comparisons]
    adjusted = [one.randomisation_adjusted for one in found.comparisons]
    assert (adjusted == raw) == (correction == "none")
    assert all(after >= before for before, after in zip(raw, adjusted, strict=True))


def test_few_queries_are_all_flips_and_it_is_said():
    assert "all 4,096 sign flips" in evaluate(dataset_of(12), many(3, 12), ["P@1"]).tested
    assert "9,999 drawn sign flips" in evaluate(dataset_of(60), many(3), ["P@1"]).tested
    assert "50,599 drawn sign flips" in evaluate(dataset_of(60), many(23), ["P@1"]).tested


def test_queries_that_do_not_meet_are_counted_in_every_output(tmp_path):
    partial = system("partial", {f"q{i}": True for i in range(3)})
    partial = System(partial.name, partial.run, unjudged=("x1", "x2"))
    found = evaluate(dataset_of(5), [partial], ["P@1"])
    lacks, more = found.notes
    assert lacks == "partial lacks 2 of 5 judged queries, each counts 0: q3, q4"
    assert more == "partial has 2 queries that are not judged and do not count: x1, x2"
    page = report_page(found, {"date": "today"}, passages=False)
    for text in (markdown(found), latex(found), page):
        assert lacks in text
        assert more in text
    assert report_object(found, {})["systems"][0]["unjudged_queries"] == ["x1", "x2"]


def test_the_cutoff_of_relevance_is_the_collection_s_stated_and_settable():
    def shown(top, method=Method()):
        dataset = dataset_of(3)
        graded = Dataset("made", "nowhere", "test", dataset.queries, {qid: {"good": top, "bad": 1} for qid in dataset.qrels})
        found = evaluate(graded, [system("a", {"q0": True})], None, method)
        assert f"relevant: grades of {found.relevant_from} and more" in markdown(found)
        return found.measures[1]

    assert shown(3) == "RR(rel=2)@10"  # TREC-DL
    assert shown(4) == "RR(rel=1)@10"  # Cranfield
    assert shown(1) == "RR(rel=1)@10"
    assert shown(4, Method(relevant_from=3)) == "RR(rel=3)@10"


def costing(name, queries, at_once):
    traces = [
        {"qid": f"q{i}", "seconds": 0.5 + i / 100, "windows": [{}], "rounds": 1, "prompt_tokens": 4, "generated_tokens": 0}
        | ({} if at_once is None else {"at_once": at_once})
        for i in range(queries)
    ]
    made = system(name, {f"q{i}": True for i in range(queries)})
    return System(name, made.run, traces)


def test_percentiles_of_few_queries_are_marked():
    few, more = (markdown(evaluate(dataset_of(n), [costing("a", n, 1)], ["P@1"])) for n in (5, 120))
    assert "0.538* |" in few
    assert "* of so few queries" in few
    assert "*" not in more


def test_seconds_of_a_batch_are_no_query_s_latency():
    found = evaluate(dataset_of(120), [costing("alone", 120, 1), costing("batch", 120, 8)], ["P@1"])
    alone, batch = markdown(found).splitlines()[2:4]
    assert "| — | — | 1.0 | 4 |" in batch
    assert "—" not in alone
    told = report_object(found, {})["systems"]
    assert (told[0]["latency"]["alone"], told[1]["latency"]["p50"]) == (True, None)
    assert "8 queries at once: none has a latency of its own" in report_page(found, {"date": "today"}, passages=False)
