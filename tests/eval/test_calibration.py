"""`firstrank calibrate`: from judged queries to a file, and from the file to probabilities, over a real model with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from firstrank.eval.calibration import Source, judged, read_requests
from firstrank.reranker.calibration.calibration import read_calibration
from firstrank.reranker.calibration.maps import MODEL
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.scorers.prior import PriorScorer
from firstrank.reranker.strategies.prior import Prior
from tests.eval import collection
from tests.reranker.commands.batch import Terminal
from tests.reranker.fakes import FakeScorer
from tests.reranker.fakes import request as fake
from tests.reranker.scorers.families import CARD, make


@pytest.fixture
def firstrank(monkeypatch, capfd) -> Terminal:
    return Terminal(monkeypatch, capfd)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    return collection.make(tmp_path / "beir")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return collection.write_run(tmp_path / "run.trec", 1)


def test_from_judged_queries_to_a_run_without_what_is_improbable(firstrank, beir, run, tiny_model, tmp_path):
    model = make(tmp_path / "point", tiny_model, "llama", CARD)
    how = ("--device", "cpu", "--threads", 1, "--dtype", "float32")
    calibrated = firstrank("calibrate", "--model", model, "--dataset", beir, "--run", run, "--output", tmp_path / "c.yaml", *how)
    assert calibrated.code == 0, calibrated.err
    assert "beir: 12 queries, 96 candidates, 25.0% relevant (grade >= 2)" in calibrated.err
    found = read_calibration(tmp_path / "c.yaml")
    assert found.unread is None
    assert set(found.read.weights) == {MODEL}

    texts = ("--run", run, "--queries", beir, "--corpus", beir, "--model", model, *how)
    whole = firstrank("rerank", *texts, "--calibration", tmp_path / "c.yaml", "--output", tmp_path / "whole.trec", "--json")
    assert whole.code == 0, whole.err
    assert whole.json["calibrated"] is True
    none = firstrank(
        "rerank", *texts, "--calibration", tmp_path / "c.yaml", "--output", tmp_path / "none.trec", "--min-probability", 1, "--json"
    )
    assert none.code == 0, none.err
    assert (tmp_path / "none.trec").read_text() == ""
    refused = firstrank("rerank", *texts, "--output", tmp_path / "plain.trec", "--min-probability", 0.5)
    assert refused.code == 2
    assert "needs a calibrated model" in refused.err
    assert not (tmp_path / "plain.trec").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--run", "a", "--run", "b"), "give --run, and --split if any, as often"),
        (("--run", "a", "--split", "x", "--split", "y"), "give --run, and --split if any, as often"),
        (("--run", "a", "--backend", "vllm"), "values that transformers reads"),
        (("--run", "a", "--strategy", "full"), "a passage is judged by itself here"),
        (("--run", "a", "--calibration", "c.yaml"), "a passage is judged by itself here"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(firstrank, words, told, tmp_path):
    ended = firstrank("calibrate", "--dataset", "nowhere", "--output", tmp_path / "c.yaml", *words)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())


def test_queries_are_evenly_spread(beir, run):
    requests, _ = read_requests(Source(str(beir), None, run), 4, 5)
    assert [one.qid for one in requests] == ["q0", "q3", "q6", "q9"]
    assert {len(one.passages) for one in requests} == {5}


def test_the_model_reads_the_best_by_the_prior_and_a_few_of_the_others():
    asked = [fake(12, "q0"), fake(3, "q1")]
    scorer = PriorScorer(FakeScorer(), Prior((("first-stage", 1.0),), 4, 0.0))
    found = judged("x", asked, {"q0": {"d11": 2, "d3": 1}, "q1": {"d0": 3}}, None, scorer, reads=True)
    assert found.relevant_from == 2
    assert found.read.sum() == 4 + 5 + 3
    assert np.flatnonzero(found.relevant).tolist() == [11, 12]
    assert np.isnan(found.evidence[MODEL]).tolist() == (~found.read).tolist()


def test_a_model_without_evidence_is_told():
    with pytest.raises(InputError, match="no value that stands by itself"):
        judged("x", [fake(3)], {"q": {"d0": 1}}, None, FakeScorer(), reads=False)


def test_eval_reports_how_good_the_probabilities_are_and_how_they_were_fitted(firstrank, beir, run, tiny_model, tmp_path):
    model = make(tmp_path / "point", tiny_model, "llama", CARD)
    how = ("--device", "cpu", "--threads", 1, "--dtype", "float32")
    words = ("--dataset", beir, "--run", run)
    fitted = firstrank("calibrate", "--model", model, *words, "--output", tmp_path / "c.yaml", *how)
    [held_out] = read_calibration(tmp_path / "c.yaml").fitted_on
    assert sum(one.share for one in held_out.bins) == pytest.approx(1, abs=1e-3)
    assert sum(one.share * abs(one.probability - one.relevant) for one in held_out.bins) == pytest.approx(held_out.ece, abs=1e-3)
    assert fitted.err.count("of the candidates") == len(held_out.bins)

    study = ("eval", *words, "--rerank", model, *how, "--depth", 8)
    done = firstrank(*study, "--calibration", tmp_path / "c.yaml", "--output", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    base, reranked = done.json["systems"]
    assert base["calibration"] is None
    found = reranked["calibration"]
    traces = [json.loads(line) for line in next((tmp_path / "out").glob("*.trace.jsonl")).read_text().splitlines()]
    grades = read_qrels(str(beir))
    pairs = [(p, grades[one["qid"]].get(docid, 0) >= 2) for one in traces for docid, p in one["probabilities"].items()]
    assert (found["queries"], found["candidates"], found["relevant"]) == (12, 96, 0.25)
    assert found["brier"] == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / 96)
    assert found["nothing_relevant_auroc"] is None
    assert found["cut"]["probability"] == read_calibration(tmp_path / "c.yaml").cut
    assert found["cut"]["relevant"] == 24
    page = (tmp_path / "out/report.html").read_text()
    assert page.count('aria-label="reliability of') == 1
    assert page.count("% of the candidates</title>") == len(found["bins"])
    assert f"{found['brier']:.3f}" in (tmp_path / "out/summary.md").read_text()
    assert (tmp_path / "out/reliability.svg").is_file()

    trace, again = next((tmp_path / "out").glob("*.trace.jsonl")), tmp_path / "again.trec"
    again.write_bytes(next((tmp_path / "out").glob("*on_run.trec")).read_bytes())
    traced = firstrank("eval", *words, "--run", again, "--trace", f"again={trace}", "--output", tmp_path / "traced", "--json")
    assert traced.code == 0, traced.err
    assert traced.json["systems"][1]["calibration"] == found | {"cut": None}

    plain = firstrank(*study, "--output", tmp_path / "plain")
    assert plain.code == 0, plain.err
    assert "robabilities" not in (tmp_path / "plain/report.html").read_text() + (tmp_path / "plain/summary.md").read_text() + plain.out
    assert not (tmp_path / "plain/reliability.svg").exists()
