"""Files as they are handed out: packed, in archives, with marks, or not what their name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.files import byte_lines
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import read_passages

TEXT = "one\nzwei größer\n".encode()
LINES = TEXT.split(b"\n")[:2]


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(mode: str = "", **files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{mode}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


PACKED = {
    "a.gz": gzip.compress(TEXT),
    "a.bz2": bz2.compress(TEXT),
    "two.bz2": bz2.compress(LINES[0] + b"\n") + bz2.compress(LINES[1]),
    "a.xz": lzma.compress(TEXT),
    "a.zip": zipped(a=TEXT),
    "mac.zip": zipped(**{"folder/a.txt": TEXT, "__MACOSX/folder/._a.txt": b"x", "folder/.DS_Store": b"y"}),
    "a.tar": tarred(a=TEXT),
    "a.tar.gz": tarred("gz", a=TEXT),
    "a.tgz": tarred("gz", **{"folder/a": TEXT}),
    "a.tar.bz2": tarred("bz2", a=TEXT),
    "a.tar.xz": tarred("xz", a=TEXT),
    "gz-in.zip": zipped(**{"a.gz": gzip.compress(TEXT)}),
    "no-suffix": bz2.compress(TEXT),
    "utf16.txt": TEXT.decode().encode("utf-16"),
    "utf16be.txt": b"\xfe\xff" + TEXT.decode().encode("utf-16-be"),
    "utf32.txt": TEXT.decode().encode("utf-32"),
    "utf16.gz": gzip.compress(TEXT.decode().encode("utf-16")),
    "mark.txt": b"\xef\xbb\xbf" + TEXT,
    "marks.txt": b"\xef\xbb\xbf\xef\xbb\xbfone\n\xef\xbb\xbf" + LINES[1],
    "mark.gz": gzip.compress(b"\xef\xbb\xbf" + TEXT),
}


@pytest.mark.parametrize("name", PACKED)
def test_it_is_read_whatever_it_is_packed_in(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name])
    assert [line for _, line in byte_lines(tmp_path / name)] == LINES


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.zip", zipped(a=TEXT, b=TEXT), r"a zip archive of 2 files \(a, b\): unpack it"),
        ("a.zip", zipped(), "a zip archive of 0 files"),
        ("a.tar.gz", tarred("gz", a=TEXT, b=TEXT, c=TEXT, d=TEXT), r"a tar archive of 4 files \(a, b, c, …\)"),
        ("a.zst", b"\x28\xb5\x2f\xfd0000", "zstd"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c00", "7z archive: unpack it"),
        ("a.rar", b"Rar!\x1a\x07\x00", "RAR archive"),
        ("a.lz4", b"\x04\x22\x4d\x18", "lz4"),
        ("a.Z", b"\x1f\x9d\x90", "compress"),
        ("a.parquet", b"PAR1\x15\x04", "Parquet file: save it as JSONL"),
        ("a.pkl", b"\x80\x04\x95", "pickle"),
        ("a.npy", b"\x93NUMPY\x01", "NumPy file"),
        ("a.db", b"SQLite format 3\x00", "SQLite"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer.*git lfs pull"),
        ("a.jsonl.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        ("a.tsv", b"\n<!DOCTYPE html>\n<html>", "web page"),
        ("a.jsonl.gz", b"<html><head>", "web page"),
        ("a.bz2", TEXT, "named .bz2, but it does not hold bzip2 data"),
        ("a.xz", TEXT, "named .xz"),
        ("a.zip", TEXT, "named .zip"),
        ("a.bz2", bz2.compress(os.urandom(9999))[:-500], "damaged or cut short"),
        ("a.bz2", b"BZh9 no", "damaged or cut short"),
        ("a.xz", lzma.compress(os.urandom(9999))[:-500], "damaged or cut short"),
        ("a.zip", zipped(a=TEXT)[:-9], "damaged or cut short"),
        ("a.txt", "one\n".encode("utf-16") + b"\x00", "wrong encoding"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=problem) as caught:
        list(byte_lines(tmp_path / name))
    assert str(caught.value).startswith(f"{tmp_path / name}:{2 if 'encoding' in problem else 1}: ")


def test_a_file_may_be_packed_three_times_over(tmp_path: Path) -> None:
    thrice = gzip.compress(gzip.compress(tarred(a=TEXT)))
    (tmp_path / "a").write_bytes(thrice)
    assert [line for _, line in byte_lines(tmp_path / "a")] == LINES
    (tmp_path / "a").write_bytes(zipped(a=zipped(a=zipped(a=TEXT))))
    assert [line for _, line in byte_lines(tmp_path / "a")] == LINES
    (tmp_path / "a").write_bytes(gzip.compress(thrice))
    with pytest.raises(FormatError, match=r"a:1: is packed more than 3 times over"):
        list(byte_lines(tmp_path / "a"))


def test_folders_and_a_mac_s_own_files_in_an_archive_are_not_counted(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in {"folder/._a": b"x", "folder/a": TEXT}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "a.tar").write_bytes(packed.getvalue())
    assert [line for _, line in byte_lines(tmp_path / "a.tar")] == LINES


def test_an_archive_with_a_password_is_named(tmp_path: Path) -> None:
    locked = bytearray(zipped(a=TEXT))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(locked)
    with pytest.raises(FormatError, match=r"a\.zip:1: is a zip archive with a password"):
        list(byte_lines(tmp_path / "a.zip"))


def test_an_archive_through_a_pipe_is_named_and_gzip_is_read(tmp_path: Path) -> None:
    for content, readable in ((zipped(a=TEXT), False), (gzip.compress(TEXT), True)):
        pipe = tmp_path / f"pipe{readable}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=[content])
        writer.start()
        try:
            if readable:
                assert [line for _, line in byte_lines(pipe)] == LINES
            else:
                with pytest.raises(FormatError, match="through a pipe"):
                    list(byte_lines(pipe))
        finally:
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # where nobody reads, the writer would wait for ever
            writer.join()


def test_every_reader_takes_them_also_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl.bz2").write_bytes(bz2.compress(b'{"_id": "d", "text": "x"}\n'))
    (tmp_path / "queries.tsv.xz").write_bytes(lzma.compress(b"q\twhat\n"))
    (tmp_path / "qrels" / "test.tsv.zip").write_bytes(zipped(qrels=b"q\td\t1\n"))
    (tmp_path / "run.tar").write_bytes(tarred(run=b"q Q0 d 1 2.0 t\n"))
    assert [passage.docid for passage in read_passages(tmp_path)] == ["d"]
    assert list(read_queries(tmp_path)) == [Query("q", "what")]
    assert read_qrels(tmp_path) == {"q": {"d": 1}}
    assert read_run(tmp_path / "run.tar")["q"].docids == ("d",)
