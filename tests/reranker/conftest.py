"""A batch on disk with a cache of its own, and a terminal."""

from __future__ import annotations

import pytest

from tests.reranker.commands.batch import Batch, Terminal


@pytest.fixture
def batch(tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "batch").mkdir()
    return Batch(tmp_path / "batch").write()


@pytest.fixture
def firstrank(monkeypatch, capfd):
    return Terminal(monkeypatch, capfd)
