"""`firstrank eval` from end to end, on a small collection: what it writes, and what it says of bad input."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firstrank.eval.reranking import _warmed
from firstrank.eval.study import Study, run_names
from firstrank.reranker.cli import app
from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.rankllm import ScoredRequest, write_requests
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Passage, Request
from tests.eval import collection

MADE = {
    "report.html",
    "report.json",
    "per_query.csv",
    "summary.md",
    "summary.tex",
    *(f"{plot}.{suffix}" for plot in ("effectiveness", "differences", "latency") for suffix in ("png", "svg")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return collection.make(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """A study of three runs, two of them with traces."""
    work = tmp_path_factory.mktemp("study")
    runs = [
        collection.write_run(work / "base.trec", 1),
        collection.write_run(work / "better.trec.gz".removesuffix(".gz"), 2, quality=0.5),
        collection.write_run(work / "partial.trec", 3, queries=9),
    ]
    traces = [
        f"better={collection.write_trace(work / 'better.jsonl', 0.5)}",
        f"partial={collection.write_trace(work / 'partial.jsonl', 2, generated=30)}",
    ]
    study = Study(str(folder), None, runs, traces, (), work / "out")
    return study, study.run()


def test_everything_is_written(made):
    study, _ = made
    assert {file.name for file in study.output.iterdir()} == MADE


def test_the_json_holds_the_figures(made):
    study, evaluation = made
    found = json.loads((study.output / "report.json").read_text())
    base, better, partial = found["systems"]
    assert better["measures"]["nDCG@10"]["mean"] == evaluation.systems[1].estimates["nDCG@10"].mean > base["measures"]["nDCG@10"]["mean"]
    assert base["latency"] is None
    assert better["latency"]["p50"] == pytest.approx(0.555)
    assert partial["missing_queries"] == ["q9", "q10", "q11"]
    assert partial["responses"]["well_formed"] == 0
    assert found["dataset"]["relevant_from_grade"] == 2
    assert {(one["a"], one["b"]) for one in found["comparisons"]} == {("base", "better"), ("base", "partial"), ("better", "partial")}
    assert found["facts"]["versions"]["firstrank"]


def test_the_csv_holds_a_value_for_every_query(made):
    study, evaluation = made
    with (study.output / "per_query.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == collection.QUERIES * len(evaluation.measures)
    mean = sum(float(row["better"]) for row in rows if row["measure"] == "nDCG@10") / collection.QUERIES
    assert mean == pytest.approx(evaluation.systems[1].estimates["nDCG@10"].mean, abs=1e-6)
    assert {row["partial"] for row in rows if row["qid"] == "q11"} == {"0.000000"}


def test_tables_mark_what_is_significantly_exceeded(made):
    study, evaluation = made
    assert 0 in evaluation.better_than(1, "nDCG@10")
    value = f"{evaluation.systems[1].estimates['nDCG@10'].mean:.4f}"
    assert f"{value} a" in (study.output / "summary.md").read_text()
    assert f"{value}$^{{a" in (study.output / "summary.tex").read_text()


def test_the_page_needs_nothing_else_and_holds_no_markup_of_a_passage(made):
    study, _ = made
    page = (study.output / "report.html").read_text()
    assert "://" not in page
    assert "<script>alert" not in page
    assert "Effectiveness against latency" in page
    assert "lacks 3 judged queries" in page
    assert page.count("Content-Security-Policy") == 1


def test_the_same_study_gives_the_same_figures(made, folder, tmp_path):
    study, evaluation = made
    again = Study(str(folder), None, study.runs, study.traces, (), tmp_path).run()
    assert again.comparisons == evaluation.comparisons
    for name in ("per_query.csv", "summary.md", "differences.svg"):
        assert (tmp_path / name).read_bytes() == (study.output / name).read_bytes()


def test_a_model_reranks_the_first_run_as_a_further_system(folder, tmp_path):
    run = collection.write_run(tmp_path / "base.trec", 1)
    setup = Setup.of("default", backend="oracle", qrels=read_qrels(str(folder)), source=str(folder))
    evaluation = Study(str(folder), None, [run], (), [setup], tmp_path / "out", depth=8).run()
    base, reranked = evaluation.systems
    assert reranked.name == "default on base"
    assert reranked.estimates["nDCG@10"].mean == pytest.approx(1.0)
    assert reranked.latency.queries == collection.QUERIES
    assert reranked.system.facts["warm-up"] == "1 query, not counted"
    assert base.latency is None
    assert not list((tmp_path / "out").glob("*.part.jsonl"))


def test_the_first_query_is_ranked_once_more_to_warm_up():
    asked = []

    class Recording:
        def stream(self, requests):
            asked.extend(requests)
            return iter(requests)

    assert list(_warmed(Recording(), iter("abc"))) == ["a", "b", "c"]
    assert asked == ["a", "a", "b", "c"]
    assert list(_warmed(Recording(), iter(""))) == []


def test_only_judged_queries_cost(folder, tmp_path):
    run = collection.write_run(tmp_path / "base.trec", 1)
    trace = collection.write_trace(tmp_path / "t.jsonl", 1)
    trace.write_text(trace.read_text() + trace.read_text().splitlines()[0].replace('"q0"', '"unjudged"') + "\n")
    [system] = Study(str(folder), None, [run], [f"base={trace}"], (), tmp_path / "out").run().systems
    assert system.latency.queries == collection.QUERIES


def test_judgments_and_queries_are_enough(tmp_path, caplog):
    folder = collection.make(tmp_path / "small")
    (folder / "corpus.jsonl").unlink()
    run = collection.write_run(tmp_path / "base.trec", 1)
    Study(str(folder), None, [run], (), (), tmp_path / "out").run()
    assert "the report shows no passages" in caplog.text
    assert "Title d1" not in (tmp_path / "out/report.html").read_text()


def test_the_corpus_is_left_alone_when_told(folder, tmp_path, caplog):
    run = collection.write_run(tmp_path / "base.trec", 1)
    Study(str(folder), None, [run], (), (), tmp_path / "out", passages=False).run()
    page = (tmp_path / "out/report.html").read_text()
    assert "Title d1" not in page
    assert '"d1"' in page
    assert caplog.text == ""


def test_names_are_as_long_as_it_takes():
    assert run_names([Path("a/bm25.trec.gz"), Path("b/tasb.run")]) == ["bm25", "tasb"]
    assert run_names([Path("x/a/run.trec"), Path("x/b/run.trec")]) == ["a/run", "b/run"]
    with pytest.raises(InputError, match="given twice"):
        run_names([Path("a.trec"), Path("a.trec")])


BAD = {
    "no run": ({"runs": ()}, "--run: not given"),
    "no dataset": ({"dataset": "nowhere"}, "no such folder"),
    "no split": ({"split": "dev"}, "the splits there are test"),
    "a split of ir_datasets": ({"dataset": "ir_datasets:beir/scifact/test", "split": "dev"}, "part of its id"),
    "another dataset's run": ({"run": "z9 Q0 d1 1 1.0 t\n"}, "none of its 1 queries is judged"),
    "a malformed run": ({"run": "q0 Q0 d1 1 1.0\n"}, "5 columns"),
    "an unknown measure": ({"measures": ("nDGC@10",)}, "ir_measures does not know it"),
    "a trace of no run": ({"traces": ("other=t.jsonl",)}, "the name being that of a run: base"),
    "a trace that is not there": ({"traces": ("base=t.jsonl",)}, "no such file"),
    "no depth": ({"depth": 0}, "at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(folder, tmp_path, case):
    changes, message = BAD[case]
    run = tmp_path / "base.trec"
    collection.write_run(run, 1)
    if text := changes.pop("run", None) if "run" in (changes := dict(changes)) else None:
        run.write_text(text)
    fields = {"dataset": str(folder), "split": None, "runs": [run], "traces": (), "setups": (), "output": tmp_path / "out"}
    with pytest.raises((InputError, FormatError), match=message):
        Study(**(fields | changes)).run()
    assert not (tmp_path / "out/report.json").exists()


def test_a_run_in_rankllms_form_measures_the_same(folder, tmp_path):
    run = read_run(collection.write_run(tmp_path / "base.trec", 1))
    scored = [
        ScoredRequest(Request(f"query {qid}", tuple(Passage(docid, docid) for docid in ranked.docids), qid), ranked.scores)
        for qid, ranked in run.items()
    ]
    write_requests(tmp_path / "theirs.jsonl", scored)
    evaluation = Study(str(folder), None, [tmp_path / "base.trec", tmp_path / "theirs.jsonl"], (), (), tmp_path / "out").run()
    ours, theirs = evaluation.systems
    assert ours.estimates == theirs.estimates
    assert (evaluation.comparisons[0].ties, evaluation.comparisons[0].randomisation) == (collection.QUERIES, 1.0)


def test_the_command_line(folder, tmp_path):
    run = collection.write_run(tmp_path / "base.trec", 1)
    given = ["eval", "--dataset", str(folder), "--output", str(tmp_path / "out"), "--run", str(run)]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["systems"][0]["name"]) == (0, "base")
    assert "| a base |" in CliRunner().invoke(app, given).stdout


def test_bad_input_on_the_command_line_is_a_sentence(folder, tmp_path):
    given = ["eval", "--dataset", str(folder), "--output", str(tmp_path), "--run", str(tmp_path / "nothing.trec")]
    done = subprocess.run([sys.executable, "-c", "from firstrank.reranker.cli import main; main()", *given], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


def evaluated(*words):
    return CliRunner().invoke(app, ["eval", *map(str, words)])


def test_judgments_alone_are_enough_and_texts_may_come_beside_them(folder, tmp_path):
    runs = [word for n in (1, 2) for word in ("--run", collection.write_run(tmp_path / f"r{n}.trec", n, quality=n - 1))]
    files = ("--qrels", folder / "qrels/test.tsv")
    whole = json.loads(evaluated("--dataset", folder, *runs, "--output", tmp_path / "a", "--json").stdout)
    alone = json.loads(evaluated(*files, *runs, "--output", tmp_path / "b", "--json").stdout)
    texts = ("--queries", folder / "queries.jsonl", "--corpus", folder / "corpus.jsonl")
    beside = json.loads(evaluated(*files, *texts, *runs, "--output", tmp_path / "c", "--json").stdout)
    measures = [[one["measures"] for one in found["systems"]] for found in (whole, alone, beside)]
    assert measures[0] == measures[1] == measures[2]
    assert "what is number" not in (tmp_path / "b/report.html").read_text()
    assert "what is number" in (tmp_path / "c/report.html").read_text()
    assert "Passage d1 text" in (tmp_path / "c/report.html").read_text()


def test_a_source_is_said_once(folder, tmp_path):
    run = collection.write_run(tmp_path / "base.trec", 1)
    rest = ("--run", run, "--output", tmp_path / "out")
    for words, said in (
        (("--dataset", folder, "--qrels", folder), "leave out --qrels, --queries, --corpus"),
        (("--dataset", folder, "--corpus", folder), "leave out"),
        ((), "--dataset: not given; give it, or judgments by --qrels"),
        (("--qrels", folder, "--rerank", "default"), "--rerank: reads queries and passages"),
        (("--qrels", folder, "--split", "dev"), "--split: only with --dataset"),
    ):
        assert said in str(evaluated(*words, *rest).exception)


def test_a_limit_a_baseline_and_where_each_row_came_from(folder, tmp_path):
    runs = [word for n in (1, 2, 3) for word in ("--run", collection.write_run(tmp_path / f"r{n}.trec", n))]
    done = evaluated("--dataset", folder, *runs, "--output", tmp_path / "out", "--limit", 5, "--baseline", "r2", "--provenance")
    assert done.exit_code == 0, done.exception
    assert "Means over 5 judged queries" in done.stdout
    assert "over 2 comparisons: each system against r2" in done.stdout
    assert done.stdout.index("| a r2 |") < done.stdout.index("| b r1 |")
    for n in (1, 2, 3):
        assert hashlib.sha256((tmp_path / f"r{n}.trec").read_bytes()).hexdigest() in done.stdout
    assert f"judgments: {folder}, sha256 {hashlib.sha256((folder / 'qrels/test.tsv').read_bytes()).hexdigest()}" in done.stdout
    wrong = evaluated("--dataset", folder, *runs, "--output", tmp_path / "out", "--baseline", "r9")
    assert "--baseline r9: give the name of a run: r1, r2, r3" in str(wrong.exception)


def test_queries_of_a_run_that_nobody_judged_are_counted(folder, tmp_path):
    run = collection.write_run(tmp_path / "more.trec", 1, queries=collection.QUERIES + 3)
    done = evaluated("--dataset", folder, "--run", run, "--output", tmp_path / "out")
    assert "more has 3 queries that are not judged and do not count: q12, q13, q14" in done.stdout


def test_a_run_that_reranking_would_replace_is_refused(folder, tmp_path, tiny_model):
    run = collection.write_run(tmp_path / "first_stage.trec", 1)
    done = evaluated("--dataset", folder, "--run", run, "--rerank", tiny_model, "--output", tmp_path)
    assert "would be replaced by what is reranked into" in str(done.exception)
