"""Ctrl-C at any moment: exit code 130, a sentence, no traceback; and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = "from firstrank.__main__ import main; main()"


def started(words, cache):
    environment = os.environ | {"FIRSTRANK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def slow(hook: str) -> str:
    """A program in which `hook`, a dotted name, says so and then takes for ever."""
    module, _, name = hook.rpartition(".")
    wait = "lambda *a, **k: (print('here', flush=True), time.sleep(900))"
    return f"import time, {module} as m; m.{name} = {wait}; {PROGRAM}"


@pytest.mark.parametrize(
    "moment",
    [
        "firstrank.reranker.commands.checks._check",  # before it begins
        "firstrank.reranker.runs.trec.read_run",  # while reading
        "firstrank.reranker.models.loaded.load_model",  # while the model is loaded
        "firstrank.reranker.batch.tasks.rerank",  # while ranking
        "firstrank.reranker.runs.trec.write_run",  # while writing
        "firstrank.reranker.measures.compare",  # at the end
    ],
)
def test_at_any_moment_it_is_a_sentence_and_130(batch, tmp_path, tiny_model, moment):
    words = batch.arguments(model=tiny_model, backend=None, threads=1)
    environment = os.environ | {"FIRSTRANK_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", slow(moment), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted: run the same command to go on"
    assert "Traceback" not in said


def test_what_was_finished_is_not_done_again(batch, tmp_path):
    words = batch.arguments()
    with started([*words[:1], *words[1:]], tmp_path) as process:
        assert process.wait(600) == 0
    whole = batch.output.read_bytes()
    batch.output.unlink()
    program = (
        "import os, signal, firstrank.reranker.batch.journal as j; add = j.Journal.add\n"
        "def once(self, qid, entry):\n    add(self, qid, entry)\n    os.kill(os.getpid(), signal.SIGINT)\n"
        f"j.Journal.add = once; {PROGRAM}"
    )
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"FIRSTRANK_CACHE": str(tmp_path)})
    assert (done.returncode, batch.left()) == (130, ["out.trec.part.jsonl"])
    with started(words, tmp_path) as process:
        _, said = process.communicate(timeout=600)
    assert "resuming: 1 of" in said
    assert batch.output.read_bytes() == whole


def test_a_second_one_waits_for_nothing():
    program = (
        "import time; from firstrank.reranker.commands.interrupts import interruptible; interruptible()\n"
        "try:\n    print('here', flush=True); time.sleep(900)\n"
        "finally:\n    print('again', flush=True); time.sleep(900)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for word in ("here", "again"):
            assert process.stdout.readline() == f"{word}\n"
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130


IN_A_FINALISER = """
import os, signal, time
import firstrank.reranker.runs.trec as trec
class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
def read_run(*arguments):
    one = Dropped()
    del one
    time.sleep(900)
trec.read_run = read_run
"""
MADE_ANOTHER = """
import os, signal, threading
import firstrank.reranker.runs.trec as trec
def read_run(*arguments):
    condition = threading.Condition()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(900)
    finally:
        condition.release()  # RuntimeError, as within a thread that is being made
trec.read_run = read_run
"""


@pytest.mark.parametrize("program", [IN_A_FINALISER, MADE_ANOTHER])
def test_where_python_would_print_it_or_make_another_error_of_it(batch, tmp_path, program):
    environment = os.environ | {"FIRSTRANK_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", f"{program}\n{PROGRAM}", *batch.arguments()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert (done.returncode, done.stderr) == (130, "interrupted: run the same command to go on\n")
