"""`firstrank rerank` with an oracle: what a schedule cannot do is refused before any work, with exit code 2 and a way out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from firstrank.reranker import cli


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    docids = [f"d{i}" for i in range(60)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": docid, "text": "some words"}) + "\n" for docid in docids))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "a query"}) + "\n")
    (tmp_path / "qrels.txt").write_text("".join(f"q 0 {docid} {i % 4}\n" for i, docid in enumerate(docids)))
    (tmp_path / "run.trec").write_text("".join(f"q Q0 {docid} {i + 1} {60 - i} x\n" for i, docid in enumerate(docids)))
    return [
        "rerank", "--run", f"{tmp_path}/run.trec", "--queries", f"{tmp_path}/queries.jsonl", "--corpus", f"{tmp_path}/corpus.jsonl",
        "--qrels", f"{tmp_path}/qrels.txt", "--backend", "oracle", "--output", f"{tmp_path}/out.trec", "--trace", f"{tmp_path}/trace.jsonl",
    ]  # fmt: skip


def firstrank(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["firstrank", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_what_a_schedule_promises_stands_in_the_trace(inputs, monkeypatch, tmp_path):
    assert firstrank(monkeypatch, [*inputs, "--strategy", "topdown", "--top-k", "5", "--window", "12"]) == 0
    trace = json.loads((tmp_path / "trace.jsonl").read_text())
    assert (trace["strategy"], trace["certified"]) == ("topdown", 5)
    assert max(len(window["docids"]) for window in trace["windows"]) == 12


def test_auto_windows_from_the_command_line(inputs, monkeypatch, tmp_path):
    assert firstrank(monkeypatch, [*inputs, "--window", "auto"]) == 0
    assert len(json.loads((tmp_path / "trace.jsonl").read_text())["windows"]) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--top-k", "15"], "passes=2 would do"),
        (["--strategy", "topdown", "--top-k", "20"], "k may be up to 19"),
        (["--window", "auto", "--stride", "5"], "leave it out with window=auto"),
        (["--strategy", "sliding:window=5,stride=6"], "never be read"),
        (["--strategy", "mergesort"], "use sliding, full"),
        (["--cascade", "default"], "bench cascade"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(inputs, monkeypatch, tmp_path, capsys, more, message):
    assert firstrank(monkeypatch, [*inputs, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.trec").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--defer-budget", "30"], "--defer-budget 30: must be between 0 and 1"),
        (["--defer-rule", "hunch"], "use entropy, margin"),
        (["--model", "no-such"], "no such name"),
    ],
)
def test_a_cascade_that_cannot_work_is_refused_before_a_model_is_loaded(inputs, monkeypatch, capsys, more, message):
    without_oracle = [part for part in inputs if part not in ("--backend", "oracle")]
    assert firstrank(monkeypatch, [*without_oracle, "--cascade", "default", *more]) == 2
    assert message in capsys.readouterr().err
