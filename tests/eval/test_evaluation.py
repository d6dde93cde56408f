"""Systems side by side, with figures that can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firstrank.eval.datasets import Dataset
from firstrank.eval.evaluation import System, evaluate
from firstrank.eval.report.files import report_object, write_json
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
    assert smallest.randomisation_holm == pytest.approx(min(1, 3 * smallest.randomisation))


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
