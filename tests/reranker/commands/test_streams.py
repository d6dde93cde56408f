"""Standard input, standard output and pipes in the place of files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

PROGRAM = "from firstrank.__main__ import main; main()"


def called(batch, changes, given=b"", then=""):
    words = " ".join(f"'{word}'" for word in batch.arguments(**changes))
    environment = os.environ | {"FIRSTRANK_CACHE": str(batch.folder), "OMP_NUM_THREADS": "1"}
    command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -c '{PROGRAM}' {words} {then}"]
    return subprocess.run(command, input=given, capture_output=True, env=environment, timeout=600)


@pytest.fixture
def whole(batch, firstrank):
    assert firstrank(*batch.arguments()).code == 0
    written = batch.output.read_bytes()
    batch.output.unlink()
    return written


@pytest.mark.parametrize("option", ["run", "queries", "corpus", "qrels"])
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_any_input_may_be_standard_input(batch, whole, option, name):
    file = {"run": "run.trec", "queries": "queries.tsv", "corpus": "corpus.jsonl", "qrels": "qrels.txt"}[option]
    done = called(batch, {option: name}, batch.file(file).read_bytes())
    assert done.returncode == 0, done.stderr
    assert batch.output.read_bytes() == whole


def test_a_pipe_is_read_once_and_its_content_counts_for_a_resumed_batch(batch, whole, firstrank):
    pipe = batch.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(batch.file("run.trec").read_bytes()))
    writer.start()
    assert firstrank(*batch.arguments(run=pipe)).code == 0
    writer.join()
    assert batch.output.read_bytes() == whole


def test_two_options_cannot_both_be_standard_input(firstrank, batch):
    ended = firstrank(*batch.arguments(run="-", queries="/dev/stdin"))
    assert ended.code == 2
    assert "--run, --queries: read standard input, which can be read by one of them only" in ended.err


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_the_output_may_be_standard_output_and_nothing_else_is_there(batch, whole, name):
    done = called(batch, {"output": name})
    assert (done.returncode, done.stdout) == (0, whole)
    assert b"nDCG@10" in done.stderr
    assert not [one for one in batch.left() if "part" in one or one == "-"]


def test_it_is_added_to_a_file_as_the_shell_says(batch, whole):
    log = batch.folder / "log"
    log.write_bytes(b"before\n")
    assert called(batch, {"output": "-"}, then=f">> {log}").returncode == 0
    assert log.read_bytes() == b"before\n" + whole


def test_a_reader_that_leaves_ends_it_without_a_traceback(batch):
    done = called(batch, {"output": "-"}, then="| head -n 1")
    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"\n") == 1
