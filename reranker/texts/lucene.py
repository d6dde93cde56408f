"""Passages from a Lucene index that Anserini or pyserini built: `lucene:DIR` as a source of texts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import well_formed
from firstrank.reranker.runs.rankllm import BODY
from firstrank.reranker.texts import jvm
from firstrank.reranker.types import Passage

_FIELDS = ("raw", "contents")
_THREADS = 4


class LuceneTexts:
    """The texts of an index. Safe to use from several threads; pickles as its path (for workers that share a disk)."""

    def __init__(self, index: str) -> None:
        self._index = index
        self._searcher = open_searcher(index)

    def get(self, docids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those `docids` that the index holds. Raises InputError for an index that keeps no text."""
        with jvm.LOCK, jvm.faults(f"{self._index}: cannot be read"):
            documents = self._searcher.batch_doc(list(dict.fromkeys(docids)), _THREADS)
            found = {docid: passage_of(docid, document) for docid, document in documents.items()}
        return {docid: _kept(self._index, docid, passage) for docid, passage in found.items()}

    def close(self) -> None:
        with jvm.LOCK:
            self._searcher.close()

    def __reduce__(self) -> tuple[type[LuceneTexts], tuple[str]]:
        return LuceneTexts, (self._index,)


def lucene_texts(index: str) -> LuceneTexts:
    """The texts of the Lucene index in a folder. Raises InputError for a folder without one, MissingExtra, MachineError."""
    return LuceneTexts(index)


def open_searcher(index: str | os.PathLike[str]) -> Any:
    """pyserini's LuceneSearcher over a folder, with Java running."""
    folder = Path(index)
    if not any(folder.glob("segments_*")):
        raise InputError(f"{folder}: no Lucene index is in this folder (it would hold a file segments_N)")
    lucene = jvm.pyserini("pyserini.search.lucene")
    with jvm.LOCK, jvm.faults(f"{folder}: the index cannot be opened"):
        return lucene.LuceneSearcher(str(folder))


def passage_of(docid: str, document: Any) -> Passage | None:
    """The passage in a Lucene document's stored fields `raw` or `contents`; None where neither is stored.

    The text is that of a JSON object (MS MARCO's, BEIR's and RankLLM's field names, title apart), else all that is stored.
    """
    stored = next((value for field in _FIELDS if (value := document.get(field)) is not None), None)
    return None if stored is None else parsed(docid, stored, str(document.get("title") or ""))


def parsed(docid: str, stored: str, title: str = "") -> Passage:
    """The passage in a stored text: a JSON object of a known layout, or the text itself."""
    fields = _json_object(stored)
    text = next((fields[key] for key in BODY if isinstance(fields.get(key), str)), None)
    own = fields.get("title")
    if isinstance(own, str):
        title = own
    if text is None:
        text = "" if own else stored
    return Passage(docid, well_formed(text), well_formed(title))


def _json_object(stored: str) -> dict[str, Any]:
    if not stored.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _kept(index: str, docid: str, passage: Passage | None) -> Passage:
    if passage is None:
        raise InputError(
            f"{index}: keeps no text (asked for {docid!r}): build it with --storeRaw or --storeContents, "
            "or give the corpus itself as the source of texts"
        )
    return passage
