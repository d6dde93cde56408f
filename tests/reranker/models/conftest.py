from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny model, to spoil."""
    return shutil.copytree(tiny_model, tmp_path / "model")
