"""The lock files: a file for each way of installing, exact, with hashes, and in step with what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED = ROOT / "constraints/locked"
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)([^\\\n]*)\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(name: str) -> list[Requirement]:
    """What an installation of this kind asks for itself."""
    if name in ("base", "vllm"):
        return [
            Requirement(line) for line in PROJECT["dependencies"] + (PROJECT["optional-dependencies"]["vllm"] if name == "vllm" else [])
        ]
    lines = (ROOT / f"constraints/{name}.txt").read_text().splitlines()
    own = [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-r"))]
    return own + (requirements("eval") if name == "client" else [])


def pins(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pin in PIN.finditer((LOCKED / f"{name}.txt").read_text()):
        found.setdefault(canonicalize_name(pin[1]), []).append(pin[2])
    return found


@pytest.mark.parametrize("name", ["base", "client", "eval", "vllm"])
def test_a_lock_holds_what_is_asked_for(name):
    locked = pins(name)
    for wanted in requirements(name):
        versions = locked.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted}: not in constraints/locked/{name}.txt: make lock"
        assert all(wanted.specifier.contains(version, prereleases=True) for version in versions), f"{wanted}: {versions}: make lock"


@pytest.mark.parametrize("name", ["base", "client", "eval", "vllm"])
def test_every_line_of_a_lock_is_exact_and_hashed(name):
    text = (LOCKED / f"{name}.txt").read_text()
    left = PIN.sub("", text).strip().splitlines()
    assert [line for line in left if not line.startswith("#")] == []


def test_there_is_a_lock_for_each_way_that_the_page_tells_of():
    page = (ROOT / "docs/security.md").read_text()
    assert {file.stem for file in LOCKED.glob("*.txt")} == {"base", "client", "eval", "vllm"}
    assert all(f"constraints/locked/{file.name}" in page for file in LOCKED.glob("*.txt"))
