"""Passage text by docid, from a SOURCE: a BEIR folder, a JSONL or TSV file, `ir_datasets:ID`, `lucene:DIR`.

The texts that a run names are gathered from a file in one pass into a store in the cache, and read from there query by
query: memory depends neither on the corpus nor on the number of queries. Datasets and indexes that have a store of their
own are read directly.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from firstrank.reranker.config import cache_dir
from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs import irds
from firstrank.reranker.runs.files import Source, identifier, json_object, name_of, named_in, string_field
from firstrank.reranker.runs.ids import hint, one_word
from firstrank.reranker.runs.rankllm import BODY
from firstrank.reranker.runs.records import records
from firstrank.reranker.texts import store
from firstrank.reranker.types import Passage

_LUCENE = "lucene:"
_DOCID = ("_id", "id", "docid", "doc_id", "docno", "pid")
_BATCH = 2048
_NAMED = 5
_LOOKED_AT = 200_000
_VERSION = 1
_log = logging.getLogger(__name__)

Docids = Callable[[], Iterable[str]]
"""the wanted docids, as often as they are asked for: `lambda: run.docids(depth)`; a docid may come several times"""


class Texts(Protocol):
    """Where a query's passages are read from."""

    def get(self, docids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those `docids` that have a text."""
        ...

    def close(self) -> None: ...


def open_texts(source: str | os.PathLike[str], wanted: Docids, *, missing: Literal["fail", "skip"] = "fail") -> Texts:
    """The texts of all wanted docids.

    Raises InputError for a source that is none, and for docids without text (how many, and which first) unless they may be
    skipped; FormatError for a malformed line of the corpus or a docid that it has twice; MachineError for a full disk.
    Warns of passages that are empty, and of those skipped.
    """
    texts: Texts
    named = os.fspath(source)
    if named.startswith((irds.PREFIX, _LUCENE)):
        texts = irds.Docstore(named) if named.startswith(irds.PREFIX) else _lucene(named)
        facts = _survey(texts, wanted)
    else:
        texts = kept = _gathered(corpus_file(named), wanted)
        facts = kept.facts
    if facts["empty"]:
        _log.warning("%s: %s", named, _counted(facts["empty"], facts["empty_first"], "empty: ranked like any other"))
    if facts["missing"]:
        message = f"{named}: {_counted(facts['missing'], facts['missing_first'], 'not there, though the run names them')}"
        if missing == "fail":
            texts.close()
            raise InputError(f"{message}{_hint(named, facts['missing_first'])}; is this the run's corpus? (--missing skip leaves them out)")
        _log.warning("%s; left out", message)
    return texts


def _hint(named: str, missing: Sequence[str]) -> str:
    """Whether a missing docid is there in another spelling, early in the file."""
    if named.startswith((irds.PREFIX, _LUCENE)):
        return ""
    return hint(missing, (passage.docid for _, passage in islice(_numbered(corpus_file(named)), _LOOKED_AT)))


def passages(texts: Texts, docids: Sequence[str]) -> tuple[Passage, ...]:
    """The passages of `docids`, in their order, less those without text."""
    found = texts.get(docids)
    return tuple(found[docid] for docid in docids if docid in found)


def read_passages(source: Source) -> Iterator[Passage]:
    """All passages of a corpus, in its order: for a first stage that indexes them.

    Raises FormatError, at its line, for a malformed passage, an id with white space, or a docid that came before.
    """
    first: dict[str, int] = {}
    for line, passage in _whole(source):
        if passage.docid in first:
            problem = f"docid {passage.docid!r} comes twice in the corpus"
            if not line:
                raise InputError(f"{name_of(source)}: {problem}")
            raise FormatError(name_of(_file_of(source)), line, f"{problem} (first on line {first[passage.docid]})")
        first[passage.docid] = line
        yield passage


def _whole(source: Source) -> Iterator[tuple[int, Passage]]:
    """(line, passage) of a corpus; a dataset of ir_datasets' has no lines."""
    if isinstance(source, str) and source.startswith(irds.PREFIX):
        yield from ((0, passage) for passage in irds.passages(source))
        return
    if isinstance(source, str) and source.startswith(_LUCENE):
        raise InputError(f"{source}: an index is searched, not read through: --retriever pyserini:{source.removeprefix(_LUCENE)}")
    source = _file_of(source)
    for line, passage in _numbered(source):
        one_word(name_of(source), line, passage.docid)
        yield line, passage


def _file_of(source: Source) -> Source:
    """A corpus's file, where the source is a path."""
    if isinstance(source, os.PathLike) or (isinstance(source, str) and "\n" not in source):
        return corpus_file(source)
    return source


def corpus_file(source: str | os.PathLike[str]) -> Path:
    """The file that holds a corpus: the path itself, or `corpus.jsonl[.gz]` or `corpus.tsv[.gz]` of a BEIR folder."""
    path = Path(source)
    if not path.is_dir():
        return path
    if found := named_in(path, "corpus", (".jsonl", ".tsv", ".json")):
        return found
    hint = f"; for a Lucene index write lucene:{path}" if any(path.glob("segments_*")) else ""
    raise InputError(f"{path}: no corpus.jsonl or corpus.jsonl.gz in this folder{hint}")


def _numbered(source: Source) -> Iterator[tuple[int, Passage]]:
    """(line, passage): JSON objects (an id; a text; perhaps a title) or `docid<TAB>text[<TAB>title]`, as the first line is."""
    name, as_json, first, found = name_of(source), ".json" in name_of(source), True, False
    for number, line in records(source):
        if first:
            as_json = as_json or line.lstrip().startswith(b"{")
            if line.lstrip().upper().startswith((b"<DOC", b"<?XML")):
                raise FormatError(name, number, "TREC's or other XML documents are not read: make JSONL of them, or give ir_datasets:ID")
        passage = _from_json(name, number, line) if as_json else _from_tsv(name, number, line, header=first)
        first = False
        if passage is not None:
            found = True
            yield number, passage
    if not found:
        raise FormatError(name, 1, 'no passages: {"_id": …, "text": …} or `docid<TAB>text` is expected on each line')


def _from_json(name: str, number: int, line: bytes) -> Passage:
    """MS MARCO v2 has the document of a passage beside it: there `docid` is not the passage's id."""
    found = json_object(name, number, line)
    title = string_field(name, number, found, ("title",)) if "title" in found else ""
    keys = ("pid", *_DOCID) if "passage" in found else _DOCID
    return Passage(identifier(name, number, found, keys), string_field(name, number, found, BODY), title)


def _from_tsv(name: str, number: int, line: bytes, *, header: bool) -> Passage | None:
    docid, *columns = (column.strip() for column in line.decode().split("\t"))
    if docid and len(columns) == 3 and "://" in columns[0]:
        _url, title, body = columns  # MS MARCO v1's documents
        return Passage(docid, body, title)
    if not docid or len(columns) not in (1, 2):
        raise FormatError(
            name,
            number,
            f"{len(columns) + 1} columns; `docid<TAB>text[<TAB>title]` or docid, url, title, body is expected",
        )
    text, title = (*columns, "")[:2]
    return None if header and docid in _DOCID and text in BODY else Passage(docid, text, title)


def _gathered(file: Path, wanted: Docids) -> store.TextStore:
    """The store of a file's wanted texts: the one in the cache, or a new one."""
    try:
        state = file.stat()
    except OSError as error:
        raise InputError(f"{file}: no such file") from error
    digest = hashlib.blake2b(json.dumps([_VERSION, str(file.resolve()), state.st_size, state.st_mtime_ns]).encode(), digest_size=16)
    for docid in wanted():
        digest.update(docid.encode() + b"\n")
    path = cache_dir() / "texts" / f"{digest.hexdigest()}.sqlite"
    with suppress(OSError, MachineError):
        os.utime(path)
        return store.TextStore(path)
    gathering = _Gathering(file, wanted)
    store.build(path, gathering.batches(), gathering.facts)
    return store.TextStore(path)


class _Gathering:
    """One pass over a corpus file. Wanted docids are kept as sorted 64-bit hashes: 8 bytes each, however long they are.

    Two wanted docids out of a million share a hash with a chance of 3e-8, and would be reported as a duplicate.
    """

    def __init__(self, file: Path, wanted: Docids) -> None:
        self._file, self._wanted = file, wanted
        self._hashes = np.unique(np.fromiter(map(hash, wanted()), np.int64))
        self._found = np.zeros(len(self._hashes), bool)
        self._empty: list[str] = []
        self._empties = 0

    def batches(self) -> Iterator[list[Passage]]:
        """The wanted passages, a part of the corpus at a time."""
        lines = _numbered(self._file)
        while batch := list(islice(lines, _BATCH)):
            if len(self._hashes):
                yield self._take(batch)

    def facts(self) -> dict[str, Any]:
        """How many passages are empty or missing, and the first of them."""
        missing = int(len(self._found) - self._found.sum())
        absent = (docid for docid in self._wanted() if not self._has(docid))
        first = list(islice(dict.fromkeys(islice(absent, 1000)), _NAMED)) if missing else []
        return {"missing": missing, "missing_first": first, "empty": self._empties, "empty_first": self._empty}

    def _take(self, batch: list[tuple[int, Passage]]) -> list[Passage]:
        hashes = np.fromiter((hash(passage.docid) for _, passage in batch), np.int64, len(batch))
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        taken = []
        for i in np.flatnonzero(self._hashes[places] == hashes).tolist():
            line, passage = batch[i]
            if self._found[places[i]]:
                raise FormatError(self._file, line, f"docid {passage.docid!r} comes twice in the corpus")
            self._found[places[i]] = True
            self._note_empty(passage)
            taken.append(passage)
        return taken

    def _note_empty(self, passage: Passage) -> None:
        if _is_empty(passage):
            self._empties += 1
            if len(self._empty) < _NAMED:
                self._empty.append(passage.docid)

    def _has(self, docid: str) -> bool:
        return bool(self._found[np.searchsorted(self._hashes, hash(docid))])


def _survey(texts: Texts, wanted: Docids) -> dict[str, Any]:
    """The facts of texts that are read where they are: looks each wanted docid up once."""
    missing, empty = dict[str, None](), dict[str, None]()
    docids = iter(wanted())
    while batch := list(islice(docids, _BATCH)):
        found = texts.get(batch)
        missing |= dict.fromkeys(docid for docid in batch if docid not in found)
        empty |= dict.fromkeys(docid for docid, passage in found.items() if _is_empty(passage))
    return {
        "missing": len(missing),
        "missing_first": list(islice(missing, _NAMED)),
        "empty": len(empty),
        "empty_first": list(islice(empty, _NAMED)),
    }


def _is_empty(passage: Passage) -> bool:
    return not passage.text.strip() and not passage.title.strip()


def _counted(count: int, first: Sequence[str], what: str) -> str:
    names = ", ".join(first) + (", …" if count > len(first) else "")
    return f"{count:,} passage{'s are' if count > 1 else ' is'} {what} ({names})"


def _lucene(named: str) -> Texts:
    from firstrank.reranker.texts.lucene import lucene_texts

    return lucene_texts(named.removeprefix(_LUCENE))
