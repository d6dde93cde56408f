"""The house's one direction: who may import whom, and what must stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("reranker", "server", "training", "eval")


def imports_of(package: str) -> set[tuple[str, str]]:
    """(file, top-level package) of each import in a package."""
    found = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {(str(file.relative_to(ROOT)), name.partition(".")[0]) for name in names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    forbidden = set(PACKAGES) - {package, "reranker"}
    assert [(file, name) for file, name in imports_of(package) if name in forbidden] == []


HEAVY = {"torch", "transformers", "numpy", "scipy", "fastapi", "vllm", "ray", "pyserini", "peft", "matplotlib", "ir_measures", "bm25s"}
EVERY_COMMAND = "from firstrank.reranker.cli import _commands, _command; [_command(entry) for entry in _commands().values()]"


@pytest.mark.parametrize("statement", ["import firstrank.reranker", EVERY_COMMAND])
def test_heavy_packages_are_imported_only_when_used(statement):
    """`firstrank --help` imports every command's module: none may import what takes long."""
    code = f"import sys; {statement}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
