"""What a batch has finished, kept beside its output until the output is whole.

`OUTPUT.part.jsonl`: a header line with the hashes of inputs and options, then one line a finished query, appended whole in the
order in which they are finished, here or in the chunks of many workers. Whoever writes the output merges these parts in the order
of its queries (`Finished`, in `reranker/batch/tasks.py`). An interrupted batch, run again by the same command, reads the journal and pays
for no finished query twice; a batch with other inputs or options is refused. The file is locked while a batch writes to it, and a
line that a crash cut short is dropped.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.runs.files import BEGUN, is_standard_output, lock, temporary_folder

Entry = dict[str, Any]

_SUFFIX = f"{BEGUN}.jsonl"


class Journal:
    """Finished queries by qid, in a file. Use `open_journal`."""

    def __init__(self, path: Path, reader: IO[bytes], writer: io.FileIO, places: dict[str, int]) -> None:
        self.path, self._reader, self._writer, self._places = path, reader, writer, places
        self.resumed = len(places)

    def __contains__(self, qid: object) -> bool:
        return qid in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def add(self, qid: str, entry: Entry) -> None:
        """Appends a finished query; it survives the end of this process from here on. Raises MachineError for a full disk."""
        self._places[qid] = _append(self.path, self._writer, json.dumps({"qid": qid} | entry, ensure_ascii=False).encode() + b"\n")

    def __getitem__(self, qid: str) -> Entry:
        self._reader.seek(self._places[qid])
        entry: Entry = json.loads(self._reader.readline())
        return entry

    def delete(self) -> None:
        """The output is whole: nothing is left to resume."""
        self.path.unlink(missing_ok=True)


@contextmanager
def open_journal(output: Path, facts: Mapping[str, str]) -> Iterator[Journal]:
    """The journal beside `output`, resumed if there is one. `facts` are what must be the same for that: name -> value or hash.

    Where the output is a device or a pipe, the journal is a temporary file. Raises InputError where another batch is writing it,
    or where its facts differ.
    """
    name = output.name + _SUFFIX
    header = json.dumps({"firstrank": 1, "facts": dict(facts)}).encode() + b"\n"
    with ExitStack() as stack:
        special = is_standard_output(output) or (output.exists() and not output.is_file())
        path = (_temporary(stack) if special else output.parent) / name
        try:
            writer = stack.enter_context(path.open("ab", buffering=0))
        except OSError as error:
            raise MachineError(f"{path}: cannot be opened: {error.strerror or error}") from error
        if not lock(writer, wait=False):
            raise InputError(f"{path}: another process is writing {output}: wait for it, or give another --output")
        places = _resume(path, writer, header, facts)
        journal = Journal(path, stack.enter_context(path.open("rb")), writer, places)
        try:
            yield journal
        finally:
            if not journal:  # a batch that finished nothing has nothing to resume
                journal.delete()


def _temporary(stack: ExitStack) -> Path:
    folder = temporary_folder()
    stack.callback(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


def _append(path: Path, writer: io.FileIO, line: bytes) -> int:
    """Writes a line at the end, whole or not at all; gives its offset."""
    place = writer.seek(0, os.SEEK_END)
    written = 0
    try:
        while written < len(line):
            written += writer.write(line[written:])
    except OSError as error:
        with suppress(OSError):
            writer.truncate(place)
        raise MachineError(f"{path}: cannot be written: {error.strerror or error}") from error
    return place


def _resume(path: Path, writer: io.FileIO, header: bytes, facts: Mapping[str, str]) -> dict[str, int]:
    """qid -> offset of what is there; writes the header of a new journal."""
    with path.open("rb") as reader:
        first = reader.readline()
        place = reader.tell()
        places: dict[str, int] = {}
        if first == header:
            while (line := reader.readline()).endswith(b"\n"):
                places[json.loads(line)["qid"]] = place
                place = reader.tell()
        begin = first != header and _holds_nothing(first, reader)
    if begin:
        writer.truncate(0)
        try:
            _append(path, writer, header)
        except MachineError:
            path.unlink(missing_ok=True)
            raise
        return {}
    if first != header:
        _refuse(path, first, facts)
    writer.truncate(place)
    return places


def _holds_nothing(first: bytes, reader: IO[bytes]) -> bool:
    """Whether a batch ended before its first query was done (an engine that did not start, say): there is nothing to lose."""
    ours = first.startswith(b'{"firstrank": 1, ') and not reader.readline().endswith(b"\n")
    return ours or not first.endswith(b"\n")


def _refuse(path: Path, first: bytes, facts: Mapping[str, str]) -> None:
    try:
        before = json.loads(first)["facts"]
        changed = sorted(name for name in before.keys() | facts.keys() if before.get(name) != facts.get(name))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: is not a journal of Firstrank's: move it away, or give another --output") from None
    differs = ", ".join(changed)
    raise InputError(
        f"{path}: an interrupted batch for the same output is there, but these differ from now: {differs}. "
        "Run the same command as then to resume it, delete that file to begin anew, or give another --output"
    )
