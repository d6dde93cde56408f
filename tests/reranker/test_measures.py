"""Measures: trec_eval's numbers, over all judged queries."""

import shutil

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import compare, default_measures, measurable, per_query
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import Ranked, Run, read_run


def run_of(**docids):
    return Run(Ranked(qid, tuple(names), np.arange(len(names), 0, -1, dtype=np.float32)) for qid, names in docids.items())


@pytest.mark.parametrize(
    ("name", "published"), [("bm25", 0.5058), ("tasb", 0.7210), ("spladepp_ed", 0.7308), ("llm/rankvicuna_bm25", 0.6682)]
)
def test_published_figures(data, name, published):
    folder = data / "msmarco-v1-dl19"
    measured = compare({name: read_run(folder / f"runs/{name}.trec.gz")}, read_qrels(folder))
    assert measured["nDCG@10"][name] == pytest.approx(published, abs=5e-5)


def test_a_query_missing_from_the_run_counts_nothing():
    qrels = {"1": {"a": 1}, "2": {"a": 1}}
    assert compare({"run": run_of(**{"1": "ab"})}, qrels, ["nDCG@10"]) == {"nDCG@10": {"run": 0.5}}


def test_queries_that_nobody_judged_do_not_count():
    assert per_query(run_of(**{"1": "ab", "2": "b"}), {"1": {"a": 1}}, ["RR@10"]) == {"RR@10": {"1": 1.0}}


def test_binary_measures_name_their_cutoff():
    assert "RR(rel=2)@10" in default_measures({"1": {"a": 3}})
    assert "RR(rel=1)@10" in default_measures({"1": {"a": 2}})
    assert per_query(run_of(**{"1": "ba"}), {"1": {"a": 2, "b": 1}}, ["RR(rel=2)@10"]) == {"RR(rel=2)@10": {"1": 0.5}}


def test_an_empty_list_is_worth_nothing():
    assert per_query(Run([Ranked("1", (), np.array([], np.float32))]), {"1": {"a": 1}}, ["nDCG@10"]) == {"nDCG@10": {"1": 0.0}}


@pytest.mark.parametrize("name", ["nDGC@10", "nDCG@@", "os.system"])
def test_an_unknown_measure_is_named(name):
    with pytest.raises(InputError, match="does not know it"):
        per_query(run_of(**{"1": "a"}), {"1": {"a": 1}}, [name])


@pytest.mark.parametrize(
    "spellings",
    [
        ["RR@10", "MRR@10"],
        ["MRR@10", "RR@10", "RR(rel=1)@10"],
        ["AP", "MAP", "map"],
        ["nDCG@10", "NDCG@10", "ndcg@10", "ndcg_cut_10", "nDCG(dcg='log2')@10"],
        ["R@100", "recall_100", "Recall@100"],
        ["P@1", "P_1", "p(rel=1)@1"],
        ["RR", "recip_rank"],
    ],
)
def test_spellings_of_one_measure_have_its_values(spellings):
    qrels = {"1": {"a": 1}, "2": {"b": 1}}
    run = run_of(**{"1": "ab", "2": "bc"})
    known = [name for name in spellings if name != "Recall@100"]
    assert per_query(run, qrels, known) == {name: {"1": 1.0, "2": 1.0} for name in known}
    assert compare({"run": run}, qrels, known) == {name: {"run": 1.0} for name in known}


@pytest.mark.parametrize(
    "name", ["P@0", "nDCG@0", "AP@0", "RR@0", "Judged@0", "nDCG@10.5", "nDCG@1e3", "R", "P(rel='a')@3", "AP(rel=0)", "IPrec@5"]
)
def test_an_impossible_measure_is_a_sentence_and_the_others_are_computed(name, caplog):
    """trec_eval ends the whole process at a cutoff of 0."""
    run, qrels = run_of(**{"1": "ab"}), {"1": {"a": 1}}
    with pytest.raises(InputError, match=r"measure .*: (its cutoff must be|cannot be computed)"):
        per_query(run, qrels, ["nDCG@10", name])
    assert compare({"run": run}, qrels, [name, "nDCG@10"]) == {"nDCG@10": {"run": 1.0}}
    assert "left out" in caplog.text
    with pytest.raises(InputError, match="measure"):
        compare({"run": run}, qrels, [name])


def test_a_measure_without_its_provider_is_left_out_and_named(caplog):
    run, qrels = run_of(**{"1": "ab"}), {"1": {"a": 1}}
    assert measurable(["alpha_nDCG@10", "AP", "AP"], qrels) == ("AP",)
    assert compare({"run": run}, qrels, ["alpha_nDCG@10", "AP"]) == {"AP": {"run": 1.0}}
    assert "pyndeval" in caplog.text


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval is a Perl script")
def test_a_provider_that_wants_numbers_for_qids_gets_them():
    found = per_query(run_of(**{"q-a": "ab", "0012": "b"}), {"q-a": {"a": 1}, "0012": {"b": 2}, "12": {"c": 1}}, ["ERR@10", "nDCG@10"])
    assert found["ERR@10"]["q-a"] > 0
    assert found["ERR@10"]["0012"] > found["ERR@10"]["q-a"]
    assert found["ERR@10"]["12"] == found["nDCG@10"]["12"] == 0


@pytest.mark.parametrize(
    ("qid", "judged", "hinted"),
    [
        ("51", "051", "it has '051' where '51'"),
        ("q1", "Q1", "it has 'Q1'"),
        ("7", "7.0", "it has '7.0'"),
        ("1", "2", "of the same collection"),
    ],
)
def test_judgments_of_other_queries_are_refused(qid, judged, hinted):
    run = run_of(**{qid: "ab"})
    for measure in (lambda: per_query(run, {judged: {"a": 1}}, ["nDCG@10"]), lambda: compare({"first": run}, {judged: {"a": 1}})):
        with pytest.raises(InputError, match=hinted) as caught:
            measure()
        assert f"none of its 1 queries ({qid!r}) is judged" in str(caught.value)


def test_judged_queries_that_a_run_lacks_are_counted_once(caplog):
    qrels = {"1": {"a": 1}, "2": {"a": 1}, "3": {"a": 1}}
    compare({"first": run_of(**{"1": "ab"}), "second": run_of(**{"1": "ba"})}, qrels, ["AP"])
    assert [record.message for record in caplog.records] == ["first: lacks 2 of the 3 judged queries ('2', '3'); each counts 0"]
