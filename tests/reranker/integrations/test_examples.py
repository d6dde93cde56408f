"""The examples run as they stand, and stay short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
FRAMEWORKS = ["haystack", "langchain", "llama_index", "pyterrier", "rerankers"]


def run(name: str, *arguments: object) -> list[str]:
    """What an example prints, line by line."""
    quiet = {"HAYSTACK_TELEMETRY_ENABLED": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, str(EXAMPLES / f"with_{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_integration_has_an_example_of_thirty_lines_at_most() -> None:
    found = {file.stem.removeprefix("with_"): len(file.read_text(encoding="utf-8").splitlines()) for file in EXAMPLES.glob("with_*.py")}
    assert set(found) >= {*FRAMEWORKS, "pyserini", "ray"}
    assert max(found.values()) <= 30


@pytest.mark.integrations
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_frameworks(name: str, tiny_model: Path) -> None:
    said = run(name, tiny_model)
    assert "Emma" in "".join(said) or name == "pyterrier"
    if name == "pyterrier":
        assert [line.split()[1] for line in said[1:]] == ["first", "reranked"]


@pytest.mark.pyserini
def test_pyserini(cranfield_index: Path, tiny_model: Path) -> None:
    said = [line for line in run("pyserini", cranfield_index, "boundary layer", tiny_model) if "INFO" not in line]
    assert [line.split()[0] for line in said] == ["1", "2", "3", "4", "5", "1", "2"]


@pytest.mark.ray
def test_ray(tiny_model: Path) -> None:
    assert sorted(line.split()[0] for line in run("ray", tiny_model)) == ["0", "1", "2"]
