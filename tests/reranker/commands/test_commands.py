"""`firstrank --help`, `models`, `doctor` and `retrieve`: small commands, their exit codes and their JSON."""

from __future__ import annotations

import json

import pytest

from firstrank.reranker.cli import main
from firstrank.reranker.runs.trec import read_run


def test_help_lists_the_commands_in_the_order_of_a_newcomer(firstrank):
    ended = firstrank("--help")
    assert ended.code == 0
    found = [word for line in ended.out.splitlines() for word in line.replace("│", " ").split()[:1]]
    named = [word for word in found if word in {"rerank", "retrieve", "models", "doctor"}]
    assert named == ["rerank", "retrieve", "models", "doctor"]
    assert firstrank("rerank", "--help").code == 0


def test_on_windows_one_sentence_names_what_would_do(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(SystemExit, match=r"^Firstrank runs on Linux and macOS; .* Windows Subsystem for Linux \(WSL\)$"):
        main()


@pytest.mark.parametrize(
    "arguments", [["nonesuch"], ["rerank"], ["rerank", "--no-such-option"], ["models", "info"], ["models", "info", "no such"]]
)
def test_wrong_usage_ends_with_2(firstrank, arguments):
    ended = firstrank(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_models_are_listed_and_described(firstrank, tiny_model):
    ended = firstrank("models", "list", "--json")
    assert next(iter(ended.json)) == "default"
    assert "default" in firstrank("models", "list").out
    found = firstrank("models", "info", "default", "--json").json
    assert (found["answer"], found["window"], found["template"]) == ("pointwise", 20, "compact-mark")
    assert firstrank("models", "info", str(tiny_model), "--json").json["path"] == str(tiny_model)
    assert str(tiny_model.name) in firstrank("models", "info", str(tiny_model)).out
    ended = firstrank("models", "pull", str(tiny_model))
    assert f"ready in {tiny_model}" in ended.err


def test_doctor_says_what_is_here_and_how_to_get_the_rest(firstrank, monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "none"))
    ended = firstrank("doctor", "--json")
    found = {finding["what"]: finding for finding in ended.json["findings"]}
    assert found["torch"]["verdict"] == "ok"
    assert found["default model"]["detail"].endswith("firstrank models pull default")
    assert ended.code == int(any(finding["verdict"] == "broken" for finding in found.values()))
    assert "Python" in firstrank("doctor").out


def test_doctor_finds_what_is_broken(firstrank, monkeypatch, tmp_path):
    from firstrank.reranker.commands import doctor

    monkeypatch.setattr(doctor, "_NEEDED", ("no-such-package",))
    ended = firstrank("doctor", "--json")
    found = {finding["what"]: finding for finding in ended.json["findings"]}
    assert ended.code == 1
    assert found["no-such-package"]["verdict"] == "broken"


def test_retrieve_writes_a_run_and_measures_it(batch, firstrank):
    batch.file("queries.tsv").write_text("q1\tq1d3\nq2\tq2d4 q2d5\nq3\tnothing of it\n")
    arguments = ["retrieve", "--queries", batch.file("queries.tsv"), "--corpus", batch.file("corpus.jsonl"), "--output", batch.output]
    ended = firstrank(*arguments, "--qrels", batch.file("qrels.txt"), "--json", "--depth", "5")
    assert ended.code == 0, ended.err
    assert ended.json["queries"] == 3
    assert "bm25" in ended.json["measures"]["nDCG@10"]
    assert read_run(batch.output)["q1"].docids == ("q1d3",)
    assert sorted(batch.written()["q2"]) == ["q2d4", "q2d5"]
    assert "3 queries in" in firstrank(*arguments).err


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (["--depth", "0"], "--depth 0: must be at least 1"),
        (["--retriever", "bm26"], "no first stage is called 'bm26'; there are bm25"),
        (["--output", "nowhere/out.trec"], "there is no folder"),
        (["--corpus", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_retrieve_refuses_what_cannot_be(batch, firstrank, changes, problem):
    arguments = ["retrieve", "--queries", batch.file("queries.tsv"), "--corpus", batch.file("corpus.jsonl"), "--output", batch.output]
    ended = firstrank(*arguments, *changes)
    assert ended.code == 2
    assert problem in ended.err
    assert batch.left() == []


def test_retrieve_for_judged_queries_only(batch, firstrank):
    batch.file("queries.tsv").write_text("q1\tq1d0\nq2\tq2d0\n")
    batch.file("qrels.txt").write_text("q2 0 q2d0 1\n")
    arguments = ["retrieve", "--queries", batch.file("queries.tsv"), "--corpus", batch.file("corpus.jsonl"), "--output", batch.output]
    assert firstrank(*arguments, "--qrels", batch.file("qrels.txt"), "--json").json["queries"] == 1
    batch.file("qrels.txt").write_text(json.dumps({"qid": "x", "docid": "y", "score": 1}) + "\n")
    ended = firstrank(*arguments, "--qrels", batch.file("qrels.txt"))
    assert ended.code == 2
    assert "judges none of its queries" in ended.err


def test_retrieve_by_language(firstrank, tmp_path):
    (tmp_path / "corpus.tsv").write_text("d1\tDie Katze schläft\nd2\tHunde bellen\n")
    (tmp_path / "queries.tsv").write_text("q1\tKatzen\n")
    arguments = ["retrieve", "--queries", tmp_path / "queries.tsv", "--corpus", tmp_path / "corpus.tsv", "--output", tmp_path / "run.trec"]
    ended = firstrank(*map(str, arguments), "--language", "de")
    assert (ended.code, (tmp_path / "run.trec").read_text().split()[2]) == (0, "d1")
    assert "Building index" not in ended.err  # of another package's
    ended = firstrank(*map(str, arguments), "--language", "de", "--retriever", "dense:minilm")
    assert (ended.code, "only with --retriever bm25, rm3 or hybrid:MODEL" in ended.err) == (2, True)


def test_doctor_finds_nothing_broken_where_only_evaluation_is_installed(monkeypatch):
    from importlib.metadata import PackageNotFoundError, version

    from firstrank.reranker.commands import doctor

    def installed(name):
        if name not in ("bm25s", "ir-measures"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", installed)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    found = {finding.what: finding for finding in doctor._needed()}
    assert {finding.verdict for finding in found.values()} == {"ok", "absent"}
    assert found["torch"].detail == "not installed: pip install firstrank (evaluation, BM25 and the oracle do without)"
    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    assert {finding.verdict for finding in doctor._needed()} == {"ok", "broken"}
