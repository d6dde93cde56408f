"""Every figure is trec_eval's: against pytrec_eval, which is its code, on real runs and on the awkward cases."""

from __future__ import annotations

import gzip
from collections import defaultdict

import numpy as np
import pytest
import pytrec_eval

from firstrank.eval.datasets import open_dataset
from firstrank.eval.evaluation import System, evaluate
from firstrank.reranker.errors import FormatError
from firstrank.reranker.retrievers.register import open_retriever, retrieve
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked, Run, read_run

MEASURES = {"nDCG@10": "ndcg_cut_10", "AP(rel=2)": "map", "R(rel=2)@100": "recall_100", "P(rel=2)@1": "P_1"}
DL19 = ("bm25", "bm25_rm3", "contriever", "openai_ada2", "repllama", "spladepp_ed", "tasb")
DL19_LLM = [f"llm/gpt35_bm25_{i}" for i in range(1, 6)]
DL19_LLM += [f"llm/rankvicuna_{first}" for first in ("bm25", "bm25_rm3", "openai_ada2", "spladepp_ed", "tasb")]
DL21 = ("bm25", "bm25_rm3", "spladepp_ed")


def by_trec_eval(lines, qrels, measure, relevance_level=1):
    """The mean over all judged queries (-c), from the run's own lines."""
    run = defaultdict(dict)
    for line in lines:
        qid, _, docid, _, score, _ = line.split()
        run[qid][docid] = float(score)
    family = measure.rpartition("_")
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {measure if measure == "map" else f"{family[0]}.{family[2]}"}, relevance_level)
    found = evaluator.evaluate(run)
    return sum(values[measure] for values in found.values()) / len(qrels)


def lines_of(run):
    return [f"{qid} Q0 {docid} 0 {score!r} t" for qid, docid, score in run.rows()]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("msmarco-v1-dl19", name) for name in (*DL19, *DL19_LLM)] + [("msmarco-v2-dl21", name) for name in DL21],
)
def test_published_runs(data, folder, name):
    path = data / folder / f"runs/{name}.trec.gz"
    qrels = read_qrels(data / folder)
    evaluation = evaluate(open_dataset(str(data / folder)), [System(name, read_run(path))], list(MEASURES))
    with gzip.open(path, "rt") as lines:
        lines = list(lines)
    for ours, theirs in MEASURES.items():
        level = 2 if "rel=2" in ours else 1
        assert evaluation.systems[0].estimates[ours].mean == pytest.approx(by_trec_eval(lines, qrels, theirs, level), abs=1e-4)


@pytest.mark.parametrize("name", ["scifact", "nfcorpus", "arguana"])
def test_own_first_stage(data, name):
    dataset = open_dataset(str(data / name))
    queries = [Query(qid, text) for qid, text in list(dataset.queries.items())[:200]]
    run = Run(retrieve(open_retriever("bm25", data / name), queries, 100, drop_self=name == "arguana"))
    found = evaluate(dataset, [System("bm25", run)], ["nDCG@10"]).systems[0]
    assert found.estimates["nDCG@10"].mean == pytest.approx(by_trec_eval(lines_of(run), dataset.qrels, "ndcg_cut_10"), abs=1e-4)
    assert len(found.missing) == len(dataset.qrels) - len(queries)


def folder_of(tmp_path, qrels):
    """A BEIR folder with these judgments: `qid docid grade` each."""
    (tmp_path / "qrels").mkdir()
    rows = [row.split() for row in qrels]
    (tmp_path / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join("\t".join(row) + "\n" for row in rows))
    (tmp_path / "queries.jsonl").write_text("".join(f'{{"_id": "{qid}", "text": "query {qid}"}}\n' for qid in {row[0] for row in rows}))
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"_id": "d{i}", "text": "passage {i}"}}\n' for i in range(9)))
    return open_dataset(str(tmp_path))


CASES = {
    "ties": (["1 d1 2", "1 d2 1", "1 d3 0"], ["1 Q0 d1 1 5.0 t", "1 Q0 d2 2 5.0 t", "1 Q0 d3 3 5.0 t"]),
    "ties in float32 only": (["1 d1 2", "1 d2 1"], ["1 Q0 d1 1 1.00000001 t", "1 Q0 d2 2 1.0 t"]),
    "ranks that contradict the scores": (["1 d1 2", "1 d2 1"], ["1 Q0 d1 1 0.1 t", "1 Q0 d2 2 0.9 t"]),
    "a missing query": (["1 d1 1", "2 d1 1"], ["1 Q0 d1 1 5.0 t"]),
    "a query that nobody judged": (["1 d1 1"], ["1 Q0 d1 1 5.0 t", "9 Q0 d1 1 5.0 t"]),
    "unjudged documents": (["1 d1 1"], ["1 Q0 d7 1 9.0 t", "1 Q0 d8 2 8.0 t", "1 Q0 d1 3 7.0 t"]),
    "negative grades": (["1 d1 -1", "1 d2 1", "1 d3 -2"], ["1 Q0 d1 1 9.0 t", "1 Q0 d2 2 8.0 t", "1 Q0 d3 3 7.0 t"]),
    "a query without relevant documents": (["1 d1 0", "1 d2 0", "2 d1 1"], ["1 Q0 d1 1 9.0 t", "2 Q0 d1 1 9.0 t"]),
    "nothing relevant found": (["1 d1 3"], ["1 Q0 d2 1 9.0 t"]),
}


@pytest.mark.parametrize("case", CASES)
def test_awkward_cases(tmp_path, case):
    qrels, lines = CASES[case]
    dataset = folder_of(tmp_path, qrels)
    names = {"nDCG@10": "ndcg_cut_10", "AP(rel=1)": "map", "R(rel=1)@100": "recall_100", "P(rel=1)@1": "P_1"}
    run = dataset.judged(read_run("\n".join(lines) + "\n"))
    estimates = evaluate(dataset, [System("run", run)], list(names)).systems[0].estimates
    for ours, theirs in names.items():
        assert estimates[ours].mean == pytest.approx(by_trec_eval(lines, dataset.qrels, theirs), abs=1e-6), ours


def test_rows_that_come_twice_are_refused_as_trec_eval_refuses_them():
    with pytest.raises(FormatError, match="comes twice"):
        read_run("1 Q0 d1 1 5.0 t\n1 Q0 d1 2 4.0 t\n")
    with pytest.raises(FormatError, match="judged twice"):
        read_qrels("1 0 d1 1\n1 0 d1 2\n")


def test_an_empty_list_counts_nothing(tmp_path):
    dataset = folder_of(tmp_path, ["1 d1 1"])
    system = System("run", Run([Ranked("1", (), np.array([], np.float32))]))
    assert evaluate(dataset, [system], ["nDCG@10"]).systems[0].estimates["nDCG@10"].mean == 0.0
