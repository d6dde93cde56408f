"""An engine ends with the process that started it, also with one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firstrank.reranker.scorers.vllm import guard
from tests.processes import descendants, wait_until_gone

OWNER = f"""
import os, subprocess, sys, time
worker = "from firstrank.reranker.scorers.vllm import guard; import time; print('here', flush=True); time.sleep(900)"
engine = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {{worker!r}}]); time.sleep(900)"
subprocess.Popen([sys.executable, "-c", engine], env=os.environ | {{"{guard.OWNER}": str(os.getpid())}})
time.sleep(900)
"""
ENGINE = """
import time
from firstrank.reranker.scorers.backends import open_scorer
open_scorer("first-smollm2", "vllm", engine={"max_model_len": 1024, "kv_cache_memory_bytes": "64MiB"})
print("here", flush=True)
time.sleep(900)
"""


def killed(program: str) -> float:
    """Seconds from the kill of a process until all that it had started has ended."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "here\n"
            started = descendants(owner.pid)
            assert started
        finally:
            owner.send_signal(signal.SIGKILL)
        ended = time.perf_counter()
        wait_until_gone(started, 600)
        return time.perf_counter() - ended


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of a process's parent so")
def test_all_processes_of_an_engine_end_with_their_owner(record_property):
    """A process in an engine's place, and one in its worker's."""
    record_property("seconds", killed(OWNER))


def test_who_is_not_below_the_owner_watches_nothing():
    assert guard.lineage(os.getpid()) == []
    assert guard.lineage(2**22 + 1) == []
    assert guard.lineage(os.getppid()) == [os.getpid()]


@pytest.mark.vllm
def test_an_engine_ends_with_a_process_that_was_killed(record_property):
    record_property("seconds", killed(ENGINE))
