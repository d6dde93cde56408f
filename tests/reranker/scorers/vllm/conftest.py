"""How the tests start engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """An engine has one thread, bound to no core: CI runs other suites beside this one, and threads that wait for one another on busy
    cores lose most of their time. What vLLM does by itself, a thread on each core, has a test in test_scorer.py.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        yield
