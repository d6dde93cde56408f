"""`firstrank doctor` finds what is wrong with a machine, and says how to mend it."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections import namedtuple

import pytest

from firstrank.reranker.commands import doctor, machine

Usage = namedtuple("Usage", "total used free")


def found(what):
    return {one.what: one for one in machine.findings()}.get(what)


def test_a_cache_that_cannot_be_written_or_has_little_room(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTRANK_CACHE", "/proc/firstrank")  # where not even root makes files
    one = found("cache")
    assert one.verdict == "broken"
    assert one.detail.startswith("/proc/firstrank: cannot be written: ")
    assert one.detail.endswith("FIRSTRANK_CACHE names another place")
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "new"))
    assert found("cache").verdict == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 10**10, 10**6))
    one = found("cache")
    assert (one.verdict, found("temporary files").verdict) == ("warning", "warning")
    assert "0.0 GB free: too little for a model; make room" in one.detail


def test_a_temporary_folder_that_is_none(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", None)
        patched.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
        one = machine.temporary()
    assert one.verdict == "broken"
    assert "TMPDIR names another place" in one.detail
    assert machine.temporary().verdict in ("ok", "warning")


def test_memory(monkeypatch):
    monkeypatch.setattr(machine, "_available", lambda: 500_000_000)
    assert "0.5 GB free: too little for most models" in found("memory").detail
    monkeypatch.setattr(machine, "_available", lambda: 8_000_000_000)
    assert found("memory").verdict == "ok"
    monkeypatch.setattr(machine, "_available", lambda: None)
    assert found("memory") is None
    monkeypatch.undo()
    assert machine._available() is None or machine._available() > 0


def test_shared_memory_of_a_container(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 10**10))
    if os.path.isdir("/dev/shm"):  # noqa: PTH112 - as short as it gets
        assert "--shm-size" in found("/dev/shm").detail
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(8 << 30, 0, 10**10))
    assert found("/dev/shm") is None


def test_limits_clock_and_variables(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 1024))
    assert "at most 1024" in found("open files").detail
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    assert found("open files") is None
    monkeypatch.setenv("OMP_NUM_THREADS", str(10 * (os.cpu_count() or 1)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "unset it" in found("OMP_NUM_THREADS").detail
    assert found("HF_HUB_OFFLINE").verdict == "ok"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert found("HF_HUB_OFFLINE") is None
    assert found("clock") is None
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert "it is behind" in found("clock").detail


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda whole: whole[:-1], "is 1 bytes too short"),
        (lambda whole: whole[:4], "has no header"),
        (lambda whole: b"", "has no header"),
        (lambda whole: whole[:8] + b"?" + whole[9:], "has a damaged header"),
        (lambda whole: whole, None),
    ],
)
def test_weights_that_are_not_whole(tiny_model, tmp_path, monkeypatch, cut, said):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(cut(weights.read_bytes()))
    assert machine.damage(weights) == said
    assert machine.damage(folder / "none") == "cannot be read: No such file or directory"
    monkeypatch.setattr("firstrank.reranker.models.catalog.describe", lambda name: {"path": str(folder)})
    one = doctor._default_model()
    assert one.verdict == ("ok" if said is None else "broken")
    if said is not None:
        assert one.detail.endswith(f"{said}: delete {folder}, and run firstrank models pull default")
