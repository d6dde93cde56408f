"""Each row of the table of faults is a test that CI runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.generators import faults

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", faults.rows(), ids=lambda row: row.test.rpartition("::")[2][:60])
def test_a_row_is_a_test_that_its_suite_runs(row: faults.Fault) -> None:
    file, *_, name = row.test.split("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    names = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert name in names
    if row.make != "test":
        assert f"mark.{row.make.removeprefix('test-')}" in source
        paths = re.search(rf"^{row.make}:.*\n\t\S+ -m pytest -m \S+ (.*)$", MAKEFILE, re.MULTILINE)
        assert paths is not None
        assert any(file.startswith(path) for path in paths[1].split())


def test_ci_runs_the_suites() -> None:
    lanes = re.search(r"^lanes=\((.*?)^\)", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert lanes is not None
    suites = lanes[1].replace('"', " ").split()
    assert {row.make for row in faults.rows()} - {"test"} <= {*suites}
    assert "check" in suites  # which runs what `make test` does


def test_no_figure_is_of_a_test_that_is_gone() -> None:
    assert set(faults.measured()) <= {row.test for row in faults.rows()}
    assert all(found.lost == 0 for found in faults.measured().values())


def test_what_was_not_measured_says_so() -> None:
    assert faults._figures(None) == ("not measured",) * 3
    assert faults._figures(faults.Measured(tries=3, lost=0, seconds=1.25, test_seconds=9)) == ("3", "nothing", "1.2")
    assert faults._figures(faults.Measured(tries=1, lost=0, test_seconds=0.5))[2] == "under 0.5 (whole test)"
