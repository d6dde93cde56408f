"""The short examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def test_the_library(tiny_model: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "library.py"), str(tiny_model)]
    lines = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout.splitlines()
    assert sorted(line.split()[1] for line in lines[:3]) == ["bees", "cake", "emma"]
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"]
    assert lines[3].endswith("windows: 1")
    assert [line.split()[0] for line in lines[4:]] == ["q1", "q2"]


def test_the_command_line_over_a_run(tiny_model: Path, tmp_path: Path) -> None:
    command = ["bash", str(EXAMPLES / "rerank_run.sh"), str(tiny_model), str(tmp_path / "pydocs")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert len(done.stdout.splitlines()) == 3
    qids = {line.split()[0] for line in (tmp_path / "pydocs/reranked.trec").read_text().splitlines()}
    assert len(qids) == len((tmp_path / "pydocs/trace.jsonl").read_text().splitlines()) == 10
