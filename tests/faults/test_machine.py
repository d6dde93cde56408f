"""What a machine does to a batch: no room, no permission, files that cannot be read, ten processes at once, a clock that jumps."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from tests.server.serving import body, threaded


def test_a_temporary_folder_without_room_is_a_sentence_and_the_journal_needs_none(batch, firstrank, monkeypatch, tells):
    """Only what is written to a device or read from a pipe needs one."""
    assert firstrank(*batch.arguments()).code == 0
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", None)  # looked for anew, as in a new process
        patched.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])  # where not even root makes files
        ended = firstrank(*batch.arguments(output="/dev/null"))
    assert ended.code == 1, ended.err
    assert "no temporary folder can be made: No usable temporary directory found in" in ended.err
    assert "TMPDIR names another place" in ended.err
    started = time.perf_counter()
    assert firstrank(*batch.arguments()).code == 0
    tells(2, seconds=time.perf_counter() - started)


def test_a_file_system_that_cannot_be_written_is_found_before_any_work(batch, firstrank, monkeypatch, tells):
    monkeypatch.setattr("firstrank.reranker.runs.trec.read_run", None)  # nothing is read
    ended = firstrank(*batch.arguments(output="/proc/out.trec"))  # there neither
    assert ended.code in (1, 2)
    assert "Traceback" not in ended.err
    assert "/proc/out.trec: " in ended.err
    monkeypatch.undo()
    started = time.perf_counter()
    assert firstrank(*batch.arguments()).code == 0
    tells(1, seconds=time.perf_counter() - started)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that can be opened and not read")
def test_a_corpus_that_cannot_be_read_is_named(batch, firstrank, tmp_path, tells):
    ended = firstrank(*batch.arguments(corpus="/proc/self/mem"))
    assert ended.code == 1, ended.err
    assert "/proc/self/mem: cannot be read further than line 0: Input/output error" in ended.err
    hidden = tmp_path / "hidden.jsonl"
    shutil.copy(batch.file("corpus.jsonl"), hidden)
    hidden.chmod(0)
    if not os.access(hidden, os.R_OK):  # root reads anything
        ended = firstrank(*batch.arguments(corpus=hidden))
        assert ended.code == 2
        assert f"{hidden}' cannot be opened" in ended.err.replace(":", "")
    assert batch.left() == []
    started = time.perf_counter()
    assert firstrank(*batch.arguments()).code == 0
    tells(2, seconds=time.perf_counter() - started)


def test_a_corpus_that_changed_is_refused_and_the_one_that_was_there_is_gone_on_with(batch, forks, firstrank, tells):
    assert forks.run(*batch.arguments()).code == 0
    whole = batch.output.read_bytes()
    batch.output.unlink()
    corpus, journal = batch.file("corpus.jsonl"), batch.file("out.trec.part.jsonl")
    for at in range(20_000, 1_000_000, 5_000):  # until one query is done
        if forks.run(*batch.arguments(), at=at).code == 0:
            batch.output.unlink()
        if journal.exists() and journal.read_bytes().count(b"\n") > 1:
            break
    before = journal.read_bytes()
    kept = corpus.read_text()
    corpus.write_text(kept.replace("all of q1d0", "nothing of q1d0", 1))
    ended = firstrank(*batch.arguments())
    assert ended.code == 2
    assert "these differ from now: --corpus. Run the same command as then to resume it" in ended.err
    assert journal.read_bytes() == before
    corpus.write_text(kept)
    started = time.perf_counter()
    assert firstrank(*batch.arguments()).code == 0
    assert batch.output.read_bytes() == whole
    tells(1, seconds=time.perf_counter() - started)


def test_ten_processes_share_one_empty_cache(batch, forks, tmp_path, tells):
    assert forks.run(*batch.arguments()).code == 0
    shutil.rmtree(tmp_path / "cache")
    outputs = [batch.file(f"out-{place}.trec") for place in range(10)]
    ended = forks.at_once([batch.arguments(output=output) for output in outputs])
    assert [one.code for one in ended] == [0] * 10, [one.said for one in ended if one.code]
    assert {output.read_bytes() for output in outputs} == {batch.output.read_bytes()}
    assert not list((tmp_path / "cache").rglob("*.part"))
    tells(10, seconds=max(one.seconds for one in ended))


def test_a_clock_that_jumps_changes_nothing(batch, firstrank, monkeypatch, tells):
    assert firstrank(*batch.arguments()).code == 0
    whole = batch.output.read_bytes()
    draw, real = random.Random(34), time.time
    monkeypatch.setattr(time, "time", lambda: real() + draw.choice([-1, 1]) * draw.uniform(0, 400 * 86400))
    started = time.perf_counter()
    for _ in range(5):
        batch.output.unlink()
        assert firstrank(*batch.arguments()).code == 0
        assert batch.output.read_bytes() == whole
    with threaded() as url, httpx.Client(timeout=60) as client:
        answers = [client.post(f"{url}/rerank", json=body("1", "3", "2")) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert all(answer.json()["results"] == answers[0].json()["results"] for answer in answers)
    tells(25, seconds=(time.perf_counter() - started) / 25)
