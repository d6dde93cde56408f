"""A file, opened whatever it is packed in: gzip, bzip2, xz, and a zip or tar archive of one file are read; what is not text is named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from firstrank.reranker.errors import FormatError, InputError, MachineError

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError)
"""what reading packed data raises where it is cut short or otherwise wrong; bzip2 raises an OSError without a number"""

SUFFIXES = ("", ".gz", ".bz2", ".xz", ".zip", ".zst")
"""how the names of packed files end"""

_BUFFER = 1 << 20
_HEAD = 512
_TAR = slice(257, 262)
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", (b"PK\x03\x04", b"PK\x05\x06")
_SHOWN = 3
_DEEPEST = 3
"""a file may be packed so many times over; one that unpacks to itself would be for ever"""

_UNPACKED: dict[bytes, Callable[[Any], Any]] = {
    _GZIP: lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    _ZSTD: lambda file: import_module("compression.zstd").ZstdFile(file),
}
_NAMED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip", ".zst": "zstd"}

_ROWS = "save it as JSONL (pandas: to_json(FILE, orient='records', lines=True))"
_REFUSED = {
    _ZSTD: "is compressed with zstd, which Python reads from 3.14 on: unpack it (zstd -d FILE)",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive: unpack it (7z x FILE)",
    b"Rar!\x1a\x07": "is a RAR archive: unpack it (unrar x FILE)",
    b"\x04\x22\x4d\x18": "is compressed with lz4: unpack it (lz4 -d FILE)",
    b"\x1f\x9d": "is compressed with compress: unpack it (gzip -d FILE)",
    b"LZIP": "is compressed with lzip: unpack it (lzip -d FILE)",
    b"PAR1": f"is a Parquet file: {_ROWS}",
    b"ARROW1": f"is an Arrow file: {_ROWS}",
    b"\x89HDF": "is an HDF5 file: save it as JSONL or TSV",
    b"\x93NUMPY": "is a NumPy file: save it as JSONL or TSV",
    b"\x80\x04": "is a Python pickle: save it as JSONL or TSV",
    b"\x80\x05": "is a Python pickle: save it as JSONL or TSV",
    b"SQLite format 3": "is an SQLite database: save its table as JSONL or TSV",
    b"%PDF": "is a PDF: save its text as JSONL or TSV",
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: fetch it (git lfs pull)",
}
_PAGE = (b"<!doctype html", b"<html")
_WIDE = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes] | IO[str]]:
    """The text in a file: as bytes, or as text where a byte order mark says UTF-16 or UTF-32.

    Raises InputError for a file that cannot be opened, FormatError for one that is no text, MachineError.
    """
    with ExitStack() as stack:
        yield _text(path, stack.enter_context(_file(path)), stack)


def _text(path: Path, file: io.BufferedReader[Any], stack: ExitStack, depth: int = 0) -> IO[bytes] | IO[str]:
    """What `file` holds, unpacked as often as it is packed."""
    if depth > _DEEPEST:
        raise FormatError(path, 1, f"is packed more than {_DEEPEST} times over: unpack it")
    head = file.peek(_HEAD)[:_HEAD]
    if unpack := next((unpack for magic, unpack in _UNPACKED.items() if head.startswith(magic)), None):
        try:
            unpacked = stack.enter_context(unpack(file))
        except ImportError as error:
            raise FormatError(path, 1, _REFUSED[_ZSTD]) from error
        return _text(path, _buffered(unpacked), stack, depth + 1)
    if head.startswith(_ZIP):
        return _text(path, _only_of_zip(path, file, stack), stack, depth + 1)
    if head[_TAR] == b"ustar":
        return _text(path, _only_of_tar(path, file, stack), stack, depth + 1)
    if problem := next((problem for magic, problem in _REFUSED.items() if head.startswith(magic)), None):
        raise FormatError(path, 1, problem)
    if head.lstrip().lower().startswith(_PAGE):
        raise FormatError(path, 1, "is a web page, not a data file: was the download answered by a page?")
    if not depth and path.suffix in _NAMED:
        raise FormatError(path, 1, f"named {path.suffix}, but it does not hold {_NAMED[path.suffix]} data")
    if encoding := next((encoding for mark, encoding in _WIDE.items() if head.startswith(mark)), None):
        return io.TextIOWrapper(file, encoding=encoding, newline="\n")
    return file


def _only_of_zip(path: Path, file: io.BufferedReader[Any], stack: ExitStack) -> io.BufferedReader[Any]:
    _check_seekable(path, file)
    archive = stack.enter_context(zipfile.ZipFile(file))
    [member] = _one(path, "zip", [one for one in archive.infolist() if not one.is_dir() and not _by_the_way(one.filename)], "filename")
    if member.flag_bits & 1:
        raise FormatError(path, 1, "is a zip archive with a password: unpack it")
    return _buffered(stack.enter_context(archive.open(member)))


def _only_of_tar(path: Path, file: io.BufferedReader[Any], stack: ExitStack) -> io.BufferedReader[Any]:
    _check_seekable(path, file)
    archive = stack.enter_context(tarfile.TarFile(fileobj=file))
    [member] = _one(path, "tar", [one for one in archive.getmembers() if one.isfile() and not _by_the_way(one.name)], "name")
    return _buffered(stack.enter_context(cast(Any, archive.extractfile(member))))


def _one(path: Path, kind: str, members: list[Any], name: str) -> list[Any]:
    if len(members) != 1:
        names = ", ".join(getattr(one, name) for one in members[:_SHOWN]) + (", …" if len(members) > _SHOWN else "")
        raise FormatError(path, 1, f"is a {kind} archive of {len(members)} files ({names}): unpack it and give one of them")
    return members


def _by_the_way(name: str) -> bool:
    """What a Mac puts into archives beside the files."""
    return name.startswith("__MACOSX/") or Path(name).name.startswith("._") or Path(name).name == ".DS_Store"


def _check_seekable(path: Path, file: io.BufferedReader[Any]) -> None:
    if not file.seekable():
        raise FormatError(path, 1, "is an archive that comes through a pipe: unpack it before")


def _buffered(file: Any) -> io.BufferedReader[Any]:
    return io.BufferedReader(cast(io.RawIOBase, file), _BUFFER)


def _file(path: Path) -> io.BufferedReader[Any]:
    try:
        return io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, a file is expected") from error
    except (PermissionError, NotADirectoryError, ValueError) as error:
        raise InputError(f"{str(path)!r}: cannot be opened: {error}") from error
    except OSError as error:
        raise MachineError(f"{path}: cannot be opened: {error.strerror or error}") from error
