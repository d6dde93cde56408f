"""Measures: trec_eval's numbers, over all judged queries."""

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import compare, default_measures, per_query
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
