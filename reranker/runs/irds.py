"""The one module that touches ir_datasets: queries, qrels and passages of `ir_datasets:ID`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from firstrank.reranker.errors import InputError, MachineError, MissingExtra
from firstrank.reranker.types import Passage

PREFIX = "ir_datasets:"


def queries(name: str) -> Iterator[tuple[str, str]]:
    """(qid, text) of a dataset's queries."""
    for query in _part(name, "queries_iter"):
        yield str(query.query_id), _text(query)


def qrels(name: str) -> Iterator[tuple[str, str, int]]:
    """(qid, docid, grade) of a dataset's judgments."""
    for judged in _part(name, "qrels_iter"):
        yield str(judged.query_id), str(judged.doc_id), int(judged.relevance)


def passages(name: str) -> Iterator[Passage]:
    """A dataset's documents, in its order."""
    for document in _part(name, "docs_iter"):
        yield _passage(document)


class Docstore:
    """A dataset's own docstore as a source of texts. Pickles as its name (for workers that have the dataset too)."""

    def __init__(self, name: str) -> None:
        dataset = _load(name)
        if not dataset.has_docs():
            raise InputError(f"{name}: has no documents")
        self._name = name
        with _faults(name):
            self._store = dataset.docs_store()

    def get(self, docids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those `docids` that the dataset holds."""
        with _faults(self._name):
            return {docid: _passage(document) for docid, document in self._store.get_many(docids).items()}

    def close(self) -> None:
        """Nothing to free: ir_datasets keeps its docstores itself."""

    def __reduce__(self) -> tuple[type[Docstore], tuple[str]]:
        return Docstore, (self._name,)


def _load(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingExtra("ir_datasets", "eval", f"reading {name}") from error
    try:
        return ir_datasets.load(name.removeprefix(PREFIX))
    except KeyError as error:
        raise InputError(f"{name}: ir_datasets knows no dataset of this name (see https://ir-datasets.com)") from error


def _part(name: str, part: str) -> Iterator[Any]:
    dataset = _load(name)
    kind = part.partition("_")[0]
    if not getattr(dataset, f"has_{kind}")():
        raise InputError(f"{name}: has no {'documents' if kind == 'docs' else kind}")
    with _faults(name):
        yield from getattr(dataset, part)()


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise MachineError(f"{name}: ir_datasets could not get its files: {error}") from error


def _text(record: Any) -> str:
    return str(record.default_text()) if hasattr(record, "default_text") else str(record[1])


def _passage(document: Any) -> Passage:
    """The title apart, where the dataset has one; the rest as its fields `text` or `body` give it, else its default text."""
    fields = getattr(document, "_fields", ())
    text = next((getattr(document, key) for key in ("text", "body", "passage") if key in fields), None)
    if text is None:
        return Passage(str(document.doc_id), _text(document))
    return Passage(str(document.doc_id), str(text), str(getattr(document, "title", "") or ""))
