"""A batch that is killed, locked out, or runs out of disk: what is finished is kept, and nothing is half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from firstrank.reranker.batch.journal import Journal, open_journal
from firstrank.reranker.errors import EngineLost
from firstrank.reranker.reranker import Reranker

SLOW = """
import time
from firstrank.reranker.cli import main
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer

plain = TransformersScorer._score_batch

def slowly(self, windows):
    time.sleep(0.1)
    return plain(self, windows)

TransformersScorer._score_batch = slowly
main()
"""


def finished_in(journal):
    return len(journal.read_bytes().splitlines()) - 1 if journal.exists() else 0


@pytest.fixture
def windows(monkeypatch):
    """How many windows the transformers backend scored in this process."""
    from firstrank.reranker.scorers.transformers.scorer import TransformersScorer

    counted, plain = [], TransformersScorer._score_batch

    def score(self, batch):
        counted.extend(batch)
        return plain(self, batch)

    monkeypatch.setattr(TransformersScorer, "_score_batch", score)
    return counted


def test_killed_in_the_middle_and_run_again_gives_the_same_bytes_and_scores_nothing_twice(batch, firstrank, tiny_model, windows):
    arguments = batch.arguments(backend=None, model=tiny_model, device="cpu", threads=1, window=10, stride=5, qrels=None)
    journal = batch.file("out.trec.part.jsonl")
    assert firstrank(*arguments).code == 0
    whole = batch.output.read_bytes()
    assert len(windows) == 3 * 5
    batch.output.unlink()

    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 900
    while not 0 < finished_in(journal) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = finished_in(journal)
    assert 0 < finished < 3
    assert batch.left() == ["out.trec.part.jsonl"]

    windows.clear()
    ended = firstrank(*arguments)
    assert f"resuming: {finished} of 3 queries are done already" in ended.err
    assert batch.output.read_bytes() == whole
    assert len(windows) == (3 - finished) * 5
    assert batch.left() == ["out.trec"]


def test_other_options_are_refused_and_named(batch, firstrank, tiny_model):
    model = {"backend": None, "model": tiny_model, "device": "cpu", "qrels": None, "depth": 5}
    batch.file("queries.tsv").write_text(f"q1\tone\nq2\t{'why ' * 9000}\nq3\tthree\n")
    assert firstrank(*batch.arguments(**model)).code == 2
    before = batch.file("out.trec.part.jsonl").read_bytes()
    ended = firstrank(*batch.arguments(**model | {"depth": 6, "seed": 1}))
    assert ended.code == 2
    assert "these differ from now: --depth, seed. Run the same command as then to resume it" in ended.err
    batch.file("queries.tsv").write_text("q1\tone\nq2\tshorter\nq3\tthree\n")
    ended = firstrank(*batch.arguments(**model))
    assert ended.code == 2
    assert "these differ from now: --queries" in ended.err
    assert batch.file("out.trec.part.jsonl").read_bytes() == before


@pytest.mark.parametrize("changed", ["firstrank.yaml", "model.safetensors"])
def test_a_model_whose_files_are_others_now_is_named(changed, batch, firstrank, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    asked = batch.arguments(backend=None, model=folder, device="cpu", qrels=None)
    batch.file("queries.tsv").write_text(f"q1\tone\nq2\t{'why ' * 9000}\nq3\tthree\n")
    assert firstrank(*asked).code == 2
    if changed == "firstrank.yaml":
        (folder / changed).write_text("passage_tokens: 7\n")
    else:
        os.utime(folder / changed, (0, 0))
    ended = firstrank(*asked)
    assert ended.code == 2
    assert f"these differ from now: files of {folder}. Run the same command" in ended.err


def test_traces_are_kept_only_where_they_are_asked_for(batch, firstrank, monkeypatch):
    monkeypatch.setattr(Journal, "delete", lambda self: None)
    journal = batch.file("out.trec.part.jsonl")
    assert firstrank(*batch.arguments()).code == 0
    plain = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    whole = batch.output.read_bytes()
    ended = firstrank(*batch.arguments(trace=batch.file("trace.jsonl")))
    assert ended.code == 2
    assert "these differ from now: --trace. Run the same command as then to resume it" in ended.err
    journal.unlink()
    assert firstrank(*batch.arguments(trace=batch.file("trace.jsonl"))).code == 0
    traced = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert [entry.keys() for entry in plain] == [{"qid", "docids", "scores", "tail"}] * 3
    assert [entry.pop("trace")["qid"] for entry in traced] == ["q1", "q2", "q3"]
    assert traced == plain
    assert batch.output.read_bytes() == whole


def test_a_mistake_leaves_no_journal_in_the_way_of_the_next_try(batch, firstrank):
    assert firstrank(*batch.arguments(strategy="bubble")).code == 2
    assert batch.left() == []
    assert firstrank(*batch.arguments()).code == 0


def test_two_processes_for_one_output(batch, firstrank):
    with open_journal(batch.output, {}) as journal:
        journal.add("q1", {})
        ended = firstrank(*batch.arguments())
    assert ended.code == 2
    assert "another process is writing" in ended.err
    assert not batch.output.exists()


@contextmanager
def a_full_disk(size):
    """No file grows beyond `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("fit", [0, 1, 2])
def test_no_space_for_the_journal_is_a_sentence_and_leaves_nothing_half_written(batch, firstrank, monkeypatch, fit):
    """The header, the first query and the second do not fit in turn; the texts are in the cache already."""
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "delete", lambda self: None)
        assert firstrank(*batch.arguments()).code == 0
    whole, journal = batch.output.read_bytes(), batch.file("out.trec.part.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.unlink()
    batch.output.unlink()
    with a_full_disk(sum(map(len, lines[:fit])) + len(lines[fit]) // 2):
        ended = firstrank(*batch.arguments())
    assert ended.code == 1, ended.err
    assert "out.trec.part.jsonl: cannot be written: File too large" in ended.err
    assert batch.left() == (["out.trec.part.jsonl"] if fit > 1 else [])
    for line in journal.read_text().splitlines() if fit > 1 else []:
        json.loads(line)
    ended = firstrank(*batch.arguments(json=True))
    assert ended.json["resumed"] == max(0, fit - 1)
    assert batch.output.read_bytes() == whole


def test_no_space_for_the_output_keeps_the_older_one_and_the_finished_queries(batch, monkeypatch, firstrank):
    """The journal fits, the output does not."""
    from firstrank.reranker.runs import trec as runs

    plain = runs.whole_file

    @contextmanager
    def full(path):
        with plain(path) as file:
            yield file
            raise OSError(28, "No space left on device")

    batch.output.write_text("older\n")
    monkeypatch.setattr(runs, "whole_file", full)
    ended = firstrank(*batch.arguments())
    assert ended.code == 1
    assert "out.trec: cannot be written: No space left on device" in ended.err
    assert batch.output.read_text() == "older\n"
    assert batch.left() == ["out.trec", "out.trec.part.jsonl"]
    monkeypatch.undo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_is_written_to_directly_and_a_full_one_is_a_sentence(batch, firstrank, tiny_model):
    model = {"backend": None, "model": tiny_model, "device": "cpu", "qrels": None, "depth": 5}
    ended = firstrank(*batch.arguments(**model, output="/dev/full"))
    assert ended.code == 1
    assert "/dev/full: cannot be written: No space left on device" in ended.err
    os.mkfifo(batch.file("pipe"))
    with subprocess.Popen(["cat", batch.file("pipe")], stdout=subprocess.PIPE, text=True) as reader:
        ended = firstrank(*batch.arguments(**model, output=batch.file("pipe")))
        lines = reader.stdout.read().splitlines()
    assert ended.code == 0, ended.err
    assert len(lines) == 90
    ended = firstrank(*batch.arguments(output="/dev/null", json=True))
    assert ended.code == 0, ended.err
    assert ended.json["measures"]["nDCG@10"]["reranked"] == pytest.approx(1.0)


def test_either_engine_resumes_what_the_other_began(batch, firstrank, monkeypatch):
    """Workers that are lost after one query, in place of Ray's."""
    from firstrank.reranker.batch import ray

    @contextmanager
    def lost(setup, workers):
        def rank(requests):
            with Reranker(setup) as reranker:
                yield next(reranker.stream(requests))
            raise EngineLost("no worker is left; finished queries are kept")

        yield rank

    assert firstrank(*batch.arguments()).code == 0
    whole = batch.output.read_bytes()
    batch.output.unlink()
    monkeypatch.setattr(ray, "ray_engine", lost)
    ended = firstrank(*batch.arguments(workers_on="ray", workers=2))
    assert ended.code == 1
    assert "no worker is left" in ended.err
    ended = firstrank(*batch.arguments(json=True))
    assert (ended.code, ended.json["resumed"], ended.json["ranked"]) == (0, 1, 2)
    assert batch.output.read_bytes() == whole
