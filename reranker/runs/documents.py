"""What people have at hand (strings, mappings, data frames, arrays, generators) -> a Request.

Nothing is guessed: a value that is missing is not the word "nan", a string is not a list of letters, and a data frame's labels are not
its places.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any
from uuid import UUID

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import well_formed
from firstrank.reranker.types import Passage, Request

Document = str | Mapping[str, Any] | Passage
"""a text; a mapping with `text`, and `title`, `docid` (or `id`, `_id`, `docno`) and anything else if it has them; or a Passage"""

DOCID = ("docid", "id", "_id", "docno", "doc_id")
"""where a mapping may have its id"""

_log = logging.getLogger(__name__)


def request_of(query: str, documents: Iterable[Document], doc_ids: Iterable[str | int] | None = None, qid: str | int = "") -> Request:
    """A Request from strings, mappings with `text` (and `docid`, `id`, `_id` or `docno`, `title`), Passages, or a data frame of such.

    Raises InputError for what is none of these, an id that is missing or comes twice, and what has no order (a set).
    """
    found = _listed("documents", documents)
    ids = None if doc_ids is None else _listed("doc_ids", doc_ids)
    if ids is not None and len(ids) != len(found):
        raise InputError(f"doc_ids has {len(ids)} entries for {len(found)} documents: give one each, or none")
    passages = tuple(_passage(document, i, None if ids is None else id_of(ids[i], f"doc_ids[{i}]")) for i, document in enumerate(found))
    seen: set[str] = set()
    for passage in passages:
        if passage.docid in seen:
            raise InputError(f"two documents have the id {passage.docid!r}: ids must be distinct")
        seen.add(passage.docid)
    return Request(query_of(query), passages, id_of(qid, "qid"))


def query_of(query: object) -> str:
    """A query's text. Raises InputError for what is no string; warns of one that asks for nothing."""
    if not isinstance(query, str):
        raise InputError(f"the query is {_named(query)}: give a string")
    if not query.strip():
        _log.warning("the query is empty: its documents are ranked for nothing in particular")
    return well_formed(str(query))


def id_of(value: object, what: str) -> str:
    """An id as a string: from a string, a whole number (NumPy's too) or a UUID. Raises InputError for anything else, named by `what`."""
    if isinstance(value, str):
        return well_formed(str(value))
    if isinstance(value, UUID):
        return str(value)
    try:
        if not isinstance(value, bool):
            return str(operator.index(value))  # type: ignore[arg-type]  # what is no number raises TypeError
    except TypeError:
        pass
    hint = "; a column with missing values turns whole numbers into these" if isinstance(value, float) and not is_missing(value) else ""
    raise InputError(f"{what} is {_named(value)}: an id is a string or a whole number{hint}")


def is_missing(value: object) -> bool:
    """Whether a value stands for none: None, NaN, and pandas' NaT and NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA is neither true nor false, nor is an array
        return type(value).__name__ == "NAType"


def _listed(what: str, given: Any) -> Sequence[Any]:
    """What was given, as a list in its order."""
    if isinstance(given, (str, bytes)):
        raise InputError(f"{what} is one string: give a list of strings, [{what}]")
    if isinstance(given, (Passage, Mapping)):
        raise InputError(f"{what} is one {type(given).__name__}: give a list")
    if isinstance(given, AbstractSet) and not hasattr(given, "mapping"):  # the keys of a mapping have an order
        raise InputError(f"{what} is a {type(given).__name__}, which has no order: give a list")
    if hasattr(given, "columns"):
        if what != "documents":
            raise InputError(f"{what} is a {type(given).__name__}: give one of its columns")
        return list(given.to_dicts() if hasattr(given, "to_dicts") else given.to_dict("records"))
    try:
        return list(given)
    except TypeError:
        raise InputError(f"{what} is {_named(given)}: give a list") from None


def _passage(document: object, place: int, docid: str | None) -> Passage:
    if isinstance(document, Passage):
        return document if docid is None else replace(document, docid=docid)
    if isinstance(document, str):
        return Passage(str(place) if docid is None else docid, well_formed(str(document)))
    if isinstance(document, Mapping) and isinstance(text := document.get("text"), str):
        own = next((document[key] for key in DOCID if key in document), place) if docid is None else docid
        return Passage(id_of(own, f"the id of document {place}"), well_formed(str(text)), _title(document.get("title"), place), document)
    if is_missing(document) or (isinstance(document, Mapping) and "text" in document and is_missing(document["text"])):
        raise InputError(f"document {place} has no text (it is missing): give a string, '' for an empty one, or leave the document out")
    raise InputError(f"document {place} is {type(document).__name__}: give a string, a mapping with a string under 'text', or a Passage")


def _title(title: object, place: int) -> str:
    if isinstance(title, str):
        return well_formed(str(title))
    if is_missing(title):
        return ""
    raise InputError(f"the title of document {place} is {_named(title)}: give a string, or none")


def _named(value: object) -> str:
    """A value as a message says it: short, whatever it is."""
    if is_missing(value):
        return f"missing ({value!r})"
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 40 else type(value).__name__
