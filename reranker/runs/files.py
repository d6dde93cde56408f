"""Files, strictly read and safely written: what every reader and writer here shares.

A source is a path, an open file (text or bytes), or a string that holds newlines (so that a test can inline its data).
Input is UTF-8; `firstrank.reranker.runs.opened` unpacks it. Output appears whole or not at all.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO, cast

from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs.opened import DAMAGED, SUFFIXES, opened

Source = str | os.PathLike[str] | IO[str] | IO[bytes]

FLOAT32_LIMIT = 2.0**128 - 2.0**103
"""numbers from here on round to infinity in float32"""

BEGUN = ".part"
"""ends the name of a file that is not whole yet, or stands before the `.jsonl` of a batch's journal"""

_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 20
_RANDOM = 6  # bytes in the name of a file that is not whole yet


def named_in(folder: Path, stem: str, forms: Sequence[str]) -> Path | None:
    """The file of that name in a folder, in the first of the forms that is there, packed or not."""
    names = (f"{stem}{form}{packed}" for form in forms for packed in SUFFIXES)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def name_of(source: Source) -> str:
    """What errors call a source: its path, or `<text>`."""
    if isinstance(source, str):
        return "<text>" if "\n" in source else source
    if isinstance(source, os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "<text>"))


def byte_lines(source: Source) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end) of each line that is not blank; every line is checked to be UTF-8.

    Raises InputError for a file that cannot be opened, FormatError for wrong encoding or damaged compressed data.
    """
    name, number = name_of(source), 0
    try:
        with _opened(source) as file:
            for number, line in enumerate(file, 1):
                data = bytes(line) if isinstance(line, (bytes, bytearray)) else str(line).encode("utf-8", "surrogatepass")
                while data.startswith(_BOM):  # not only at the start: files with a mark are joined by `cat`
                    data = data.removeprefix(_BOM)
                data = data.rstrip(b"\r\n")
                if b"\r" in data:
                    raise FormatError(name, number, "a carriage return within the line, which some take for its end: use Unix line ends")
                if not data.isascii():
                    _check_utf8(name, number, data)
                if data and not data.isspace():
                    yield number, data
    except DAMAGED as error:
        raise FormatError(name, number + 1, f"damaged or cut short compressed data ({error})") from error
    except UnicodeError as error:  # an open text file decodes by itself
        raise FormatError(name, number + 1, f"wrong encoding ({error}): save the file as UTF-8") from error
    except OSError as error:
        if error.errno is None:  # bzip2's own
            raise FormatError(name, number + 1, f"damaged or cut short compressed data ({error})") from error
        raise MachineError(f"{name}: cannot be read further than line {number}: {error.strerror or error}") from error


def text_lines(source: Source) -> Iterator[tuple[int, str]]:
    """`byte_lines`, decoded."""
    for number, line in byte_lines(source):
        yield number, line.decode()


def json_object(name: str, number: int, line: bytes | str) -> dict[str, Any]:
    """The JSON object on one line, or FormatError."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise FormatError(name, number + error.lineno - 1, f"not valid JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(name, number, f"not readable JSON: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(name, number, f"a JSON object is expected, not {type(found).__name__}")
    return found


def identifier(name: str, number: int, found: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The id under the first of `keys` that is there, as a string. Raises FormatError for none, or one that cannot be an id."""
    for key in keys:
        if key in found:
            value = found[key]
            if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
                raise FormatError(name, number, f"{key!r} must be a string or a whole number, not {value!r}")
            return well_formed(str(value))
    raise FormatError(name, number, f"no id: one of the fields {', '.join(keys)} is expected")


def string_field(name: str, number: int, found: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The text under the first of `keys` that is there; null counts as empty. Raises FormatError for none, or not a string."""
    for key in keys:
        if key in found:
            value = found[key]
            if value is not None and not isinstance(value, str):
                raise FormatError(name, number, f"{key!r} must be a string, not {type(value).__name__}")
            return well_formed(value or "")
    raise FormatError(name, number, f"no text: one of the fields {', '.join(keys)} is expected")


def well_formed(text: str) -> str:
    """`text` with lone surrogates (JSON can escape them, UTF-8 cannot hold them) replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A text file for writing that appears at `path` when the block ends well, and leaves nothing behind when it does not.

    Compressed (the same bytes for the same text) if the name ends in `.gz`. A device or a pipe is written to directly.
    Raises InputError where there is no such folder, MachineError where the machine refuses (no space, no permission).
    """
    if is_standard_output(path):
        with _standard_output() as file:
            yield file
        return
    _check_form(path)
    target = Path(os.path.realpath(path))
    direct = target.exists() and not target.is_file() and not target.is_dir()
    part = target if direct else target.with_name(f".{target.name}.{secrets.token_hex(_RANDOM)}{BEGUN}")
    try:
        if target.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file to write")
        with _text_writer(part, exclusive=not direct, compressed=target.suffix == ".gz") as file:
            yield file
        if not direct:
            part.replace(target)
            _sync_folder(target.parent)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (part, target):
            raise
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise InputError(f"{path}: there is no folder {target.parent} to write to") from error
        raise MachineError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if not direct:
            with suppress(OSError):
                part.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises what `whole_file` would raise for a wrong folder or a missing permission, before any work is done."""
    if is_standard_output(path):
        return
    target = Path(path)
    if not target.exists() or target.is_file() or target.is_dir():
        with suppress(_Unused), whole_file(path):
            raise _Unused
    elif not os.access(target, os.W_OK):  # a device or a pipe is not opened for a trial: who reads it would take that for the end
        raise MachineError(f"{path}: cannot be written: no permission")


def sweep(path: str | os.PathLike[str]) -> None:
    """Removes what killed processes had begun to write in place of `path`. For the one process that may write it."""
    target = Path(os.path.realpath(path))
    for part in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 2 * _RANDOM}{BEGUN}"):
        with suppress(OSError):
            part.unlink()


def temporary_folder(prefix: str = "firstrank-") -> Path:
    """A new folder for what lasts as long as a command. Raises MachineError where there is no place for one."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise MachineError(f"no temporary folder can be made: {error.strerror or error}; TMPDIR names another place") from error


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path) in ("/dev/stdout", "/dev/fd/1")


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    """As it stands, wherever it was sent: opened by its name it would begin anew in a file. Who reads a pipe may leave early."""
    try:
        with os.fdopen(os.dup(1), "wb") as raw, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n") as text:
            yield text
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MachineError(f"standard output: cannot be written: {error.strerror or error}") from error


class _Unused(Exception):
    pass


def _check_form(path: str | os.PathLike[str]) -> None:
    """Raises InputError for a name that promises what is not written."""
    suffix = Path(path).suffix.lower()
    if suffix in (".tgz", ".7z", *SUFFIXES[1:]) and suffix != ".gz":
        raise InputError(f"{path}: is written as plain text, or compressed where the name ends in .gz: {suffix} is not written")


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes] | IO[str]]:
    if isinstance(source, str) and "\n" in source:
        yield io.BytesIO(source.encode("utf-8", "surrogatepass"))
    elif not isinstance(source, (str, os.PathLike)):
        yield source
    else:
        with opened(Path(source)) as file:
            yield file


def _check_utf8(name: str, number: int, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        problem = f"wrong encoding: byte 0x{data[error.start]:02x} at column {error.start + 1} is not UTF-8; save the file as UTF-8"
        raise FormatError(name, number, problem) from error


@contextmanager
def _text_writer(path: Path, *, exclusive: bool, compressed: bool) -> Iterator[TextIO]:
    with path.open("xb" if exclusive else "wb", buffering=_BUFFER) as raw:
        binary: BinaryIO = raw
        if compressed:
            binary = cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="replace", newline="\n")
        try:
            yield text
            text.flush()
            if compressed:
                binary.close()
            raw.flush()
            if exclusive:  # a device need not know fsync
                os.fsync(raw.fileno())
        finally:
            with suppress(Exception):  # a full disk has been reported once; closing must not report it again
                text.close()


def lock(file: IO[Any], *, wait: bool = True) -> bool:
    """Takes an open file for this process alone, until it is closed; False where another one has it and there is no waiting.

    Windows has no such lock, and none is taken there. Raises MachineError for a file system that cannot lock.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise MachineError(f"{file.name}: cannot be locked: {error.strerror or error}") from error
    return True


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system syncs folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(path: str | Path) -> str:
    """What tells a file's content from another's: the SHA-256 of a file, the names, sizes and times of a folder, else the name itself.

    What a batch has begun to write into a folder that it reads (its journal, say) does not count.
    """
    found = Path(path)
    if found.is_file():
        with found.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if found.is_dir():
        files = sorted(file for file in found.rglob("*") if file.is_file() and not _begun(file))
        stats = [(str(file.relative_to(found)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(json.dumps(stats).encode()).hexdigest()
    return str(path)


def _begun(file: Path) -> bool:
    return file.name.endswith((BEGUN, f"{BEGUN}.jsonl"))
