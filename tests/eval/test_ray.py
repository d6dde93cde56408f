"""`firstrank eval --workers-on ray`: the run is the one that a local engine makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray


def test_the_run_is_that_of_a_local_engine(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    passages = [{"_id": f"d{i}", "title": "", "text": f"passage {i} {'of some words ' * (i % 5)}"} for i in range(8)]
    queries = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(4)]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(4)))
    run = tmp_path / "first.trec"
    run.write_text("".join(f"q{i} Q0 d{j} {j + 1} {-j} x\n" for i in range(4) for j in range(8)))
    model = ["--model", str(tiny_model), "--threads", "1"]
    command = [sys.executable, "-c", "from firstrank.reranker.cli import main; main()"]
    local = [
        *command,
        "rerank",
        "--run",
        str(run),
        "--queries",
        str(folder),
        "--corpus",
        str(folder),
        *model,
        "--output",
        str(tmp_path / "local.trec"),
    ]
    subprocess.run(local, check=True, capture_output=True)
    output = tmp_path / "study"
    on_ray = ["--rerank", str(tiny_model), "--workers-on", "ray", "--workers", "2"]
    done = subprocess.run(
        [*command, "eval", "--dataset", str(folder), "--run", str(run), "--output", str(output), *on_ray], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [reranked] = [file for file in output.glob("*.trec") if file.name != "first_stage.trec"]
    assert reranked.read_bytes() == (tmp_path / "local.trec").read_bytes()
    assert "Ray" in (output / "report.json").read_text()
