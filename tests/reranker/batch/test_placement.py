"""`--workers-on` and what belongs to it; runs on Ray are in test_ray.py."""

from __future__ import annotations

import pytest

from firstrank.reranker.batch.placement import Placement
from firstrank.reranker.errors import InputError, MissingExtra
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import WorkersOn


def test_workers_need_ray() -> None:
    with pytest.raises(InputError, match=r"--address, --workers: only with --workers-on ray"):
        Placement(address="auto", workers=2)
    with pytest.raises(InputError, match=r"--gpus-per-worker: only with --workers-on ray"):
        Placement(gpus_per_worker=0.5)


def test_a_worker_has_one_thread_unless_told_otherwise() -> None:
    ray = Placement(WorkersOn.ray)
    assert [ray.fitted(Setup.of(threads=given)).backend.threads for given in (None, 2)] == [1, 2]
    assert ray.fitted(Setup.of(backend="vllm")) == Setup.of(backend="vllm")
    assert Placement().fitted(Setup()) == Setup()


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with (
        pytest.raises(MissingExtra, match=r"--workers-on ray needs the package 'ray': pip install 'firstrank\[ray\]'"),
        Placement(WorkersOn.ray).open(Setup()),
    ):
        pass
