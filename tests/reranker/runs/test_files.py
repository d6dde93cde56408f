"""Whole-or-nothing output and strict input."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs.files import (
    byte_lines,
    check_writable,
    fingerprint,
    lock,
    sweep,
    temporary_folder,
    well_formed,
    whole_file,
)
from firstrank.reranker.runs.records import json_lines


def test_lines_are_numbered_and_blank_ones_skipped() -> None:
    assert list(byte_lines("one\r\n\n  \ntwo\n")) == [(1, b"one"), (4, b"two")]
    assert list(byte_lines(io.StringIO("é\n"))) == [(1, "é".encode())]
    assert list(byte_lines(io.BytesIO(b"\xef\xbb\xbfone"))) == [(1, b"one")]


def test_gzip_is_seen_by_its_first_bytes(tmp_path: Path) -> None:
    for name in ("lines.gz", "lines.txt"):
        (tmp_path / name).write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
        assert [line for _, line in byte_lines(tmp_path / name)] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"plain\n", 1, "does not hold gzip"),
        (b"", 1, "does not hold gzip"),
        (gzip.compress(os.urandom(50_000).hex().encode(), mtime=0)[:-2000], 1, "compressed data"),
        (gzip.compress(b"one\n", mtime=0)[:-6] + b"xxxxxx", 1, "compressed data"),
    ],
)
def test_damaged_gzip_is_an_error_that_names_the_file(tmp_path: Path, content: bytes, line: int, problem: str) -> None:
    file = tmp_path / "lines.gz"
    file.write_bytes(content)
    with pytest.raises(FormatError, match=problem) as caught:
        list(byte_lines(file))
    assert caught.value.path == str(file)
    assert caught.value.line >= line


def test_wrong_encoding_names_file_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "latin1.txt"
    file.write_bytes("plain\ncafé\n".encode("latin-1"))
    with pytest.raises(FormatError, match=rf"{file}:2: wrong encoding: byte 0xe9 at column 4"):
        list(byte_lines(file))
    with pytest.raises(FormatError, match=r":\d+: wrong encoding"), file.open(encoding="utf-8") as text:
        list(byte_lines(text))


def test_what_cannot_be_opened_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path, tmp_path / "none" / "a", "", "nul\0byte"):
        with pytest.raises(InputError):
            list(byte_lines(path))


@pytest.mark.parametrize("line", ["{", "[1]", "1", "{} {}", '{"a": 1' + "0" * 5000 + "}", "[" * 100_000])
def test_a_line_that_is_no_json_object_is_named(line: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(json_lines('{"ok": 1}\n' + line + "\n"))
    assert caught.value.line == 2


def test_lone_surrogates_are_replaced() -> None:
    assert well_formed("a\ud800b \U0001f600") == "a\ufffdb \U0001f600"
    assert well_formed("\ud83d\ude00") == "\U0001f600"


def test_a_file_appears_only_when_its_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("before")
    with suppress(KeyError), whole_file(target) as file:
        file.write("half")
        raise KeyError
    assert target.read_text() == "before"
    with target.open() as reader:
        with whole_file(target) as file:
            file.write("after")
            assert target.read_text() == "before"
        assert reader.read() == "before"  # replaced, not overwritten
    assert target.read_text() == "after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.txt"]


def test_gzip_output_is_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, name in enumerate(("a.gz", "b.gz")):
        monkeypatch.setattr("time.time", lambda now=now: 1e9 + now)
        with whole_file(tmp_path / name) as file:
            file.write("text\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text\n"


def test_a_link_stays_a_link_and_permissions_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    with whole_file(tmp_path / "link") as file:
        file.write("after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_full_device_is_a_fault_of_the_machine() -> None:
    with pytest.raises(MachineError, match=r"/dev/full: cannot be written: No space left"), whole_file("/dev/full") as file:
        file.write("text")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: the write fails in the middle."""
    script = (
        "import resource, signal, sys\n"
        "from firstrank.reranker.runs.files import whole_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "with whole_file(sys.argv[1]) as file:\n"
        "    for _ in range(10_000_000): file.write('a line of text\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "out.txt")], capture_output=True, text=True, check=False)
    assert "MachineError" in done.stderr
    assert str(tmp_path / "out.txt") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        check_writable(tmp_path / "none" / "out.txt")
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="there is no folder"):
        check_writable(tmp_path / "file" / "out.txt")
    check_writable(tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_an_error_of_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "out.txt"):
        (tmp_path / "other.txt").read_text()


def test_a_file_is_locked_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a").open("w") as one, (tmp_path / "a").open("w") as other:
        assert lock(one)
        assert not lock(other, wait=False)
    with (tmp_path / "a").open("w") as other:
        assert lock(other, wait=False)
        monkeypatch.setattr("fcntl.flock", _no_locks)
        with pytest.raises(MachineError, match="a: cannot be locked: No locks available"):
            lock(other)
        monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
        assert lock(other)


def test_what_a_killed_process_had_begun_is_swept_and_nothing_else(tmp_path: Path) -> None:
    with whole_file(tmp_path / "out.txt"):
        [begun] = tmp_path.iterdir()
    begun.write_text("half")  # as if this process had ended there
    others = [".other.txt.0123456789ab.part", ".out.txt.0123.part", "out.txt", ".out.txt.0123456789ab.part.jsonl"]
    for name in others:
        (tmp_path / name).write_text("")
    sweep(tmp_path / "out.txt")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(others)


def test_a_machine_s_fault_is_said_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, said in ((OSError(28, "No space left"), "No space left"), (OSError("odd"), "odd")):
        monkeypatch.setattr("tempfile.mkdtemp", _raising(error))
        with pytest.raises(MachineError) as caught:
            temporary_folder()
        assert str(caught.value) == f"no temporary folder can be made: {said}; TMPDIR names another place"


def test_a_full_disk_behind_standard_output_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.dup", lambda number: os.open("/dev/full", os.O_WRONLY))
        with pytest.raises(MachineError) as caught, whole_file("/dev/stdout") as file:
            file.write("text")
    assert str(caught.value) == "standard output: cannot be written: No space left on device"


def _raising(error: Exception) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def test_what_a_batch_has_begun_to_write_does_not_change_a_folder(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("{}")
    before = fingerprint(tmp_path)
    for name in ("out.part", "out.trec.part.jsonl"):
        (tmp_path / name).write_text("begun")
    assert fingerprint(tmp_path) == before
    (tmp_path / "more.jsonl").write_text("{}")
    assert fingerprint(tmp_path) != before


def _no_locks(file: object, operation: int) -> None:
    raise OSError(37, "No locks available")


def test_a_fingerprint_tells_contents_apart(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    one = fingerprint(file)
    file.write_text("two")
    assert fingerprint(file) != one
    assert fingerprint(tmp_path) != fingerprint(tmp_path / "nothing")
    assert fingerprint("ir_datasets:cranfield") == "ir_datasets:cranfield"
