"""The house's one direction: who may import whom, and what must stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_imports_keep_to_the_contracts():
    """Who may import whom stands in pyproject.toml, `[tool.importlinter]`."""
    check = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


HEAVY = {"torch", "transformers", "numpy", "scipy", "fastapi", "vllm", "ray", "pyserini", "peft", "matplotlib", "ir_measures", "bm25s"}
EVERY_COMMAND = "from firstrank.reranker.cli import _commands, _command; [_command(entry) for entry in _commands().values()]"


@pytest.mark.parametrize("statement", ["import firstrank", "import firstrank.reranker; dir(firstrank)", EVERY_COMMAND])
def test_heavy_packages_are_imported_only_when_used(statement):
    """`firstrank --help` imports every command's module: none may import what takes long."""
    code = f"import sys; {statement}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_command_is_named_where_it_is_defined():
    """An entry point that names a module which passes a command on makes `--help` import both."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = project["entry-points"]["firstrank.commands"].values()
    assert [entry for entry in commands if not _defined(*entry.split(":"))] == []


IGNORED = re.compile(r"# (?:type: ignore(?:\[[\w, -]+\])?|noqa(?:: [A-Z]+\d+(?:, [A-Z]+\d+)*)?)\s*$", re.MULTILINE)


def test_what_a_checker_is_told_to_overlook_has_its_reason_beside_it():
    found = [file for file in ROOT.rglob("*.py") if not file.relative_to(ROOT).parts[0].startswith((".", "shared"))]
    assert found
    assert [f"{file}: {bare}" for file in found for bare in IGNORED.findall(file.read_text(encoding="utf-8"))] == []


def _defined(module: str, name: str) -> bool:
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return name in functions | {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}


def test_a_project_may_have_modules_of_the_same_names(tmp_path):
    """The repository's top-level folders have common names: users have their own `eval/`, `server.py` … beside them."""
    for name in ("eval", "training", "reranker", "configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the user's own')")
    (tmp_path / "server.py").write_text("raise SystemExit('the user's own')")
    code = f"{EVERY_COMMAND}; from firstrank import OracleScorer, Reranker; import firstrank.server.settings, firstrank.training.config"
    code += "; print(Reranker(OracleScorer({'': {'1': 1}})).rank('q', ['a', 'b'])[0].docid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
