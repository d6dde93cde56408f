"""First stages, by name: `bm25`, `rm3`, `dense:MODEL`, `sparse:MODEL`, `hybrid:MODEL`, `pyserini:INDEX`.

A module here that wraps a first stage has a function `open_retriever(argument, corpus)`, which gives a Retriever.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Protocol

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.ids import some
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked

_ARGUMENTS = {"bm25": "", "rm3": "", "dense": ":MODEL", "sparse": ":MODEL", "hybrid": ":MODEL", "pyserini": ":INDEX"}
_LEXICAL = ("bm25", "rm3", "hybrid")
_WHY = (
    "a query finds passages that share a word with it; single letters and stop words do not count, nor words of another language or script "
    "than the corpus's"
)
_log = logging.getLogger(__name__)


class Retriever(Protocol):
    """A first stage over one corpus."""

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages of each query, in trec_eval's order; fewer, or none, where no more match."""
        ...

    def close(self) -> None: ...


def open_retriever(name: str, corpus: str | os.PathLike[str], language: str | None = None) -> Retriever:
    """The first stage of that name over a corpus (a SOURCE).

    `language` (`de`, `zh` …) says how words are split and stemmed, where words are searched. Raises InputError for an unknown name or
    language, MissingExtra.
    """
    kind, colon, argument = name.partition(":")
    if kind not in _ARGUMENTS or bool(_ARGUMENTS[kind]) != bool(argument) or (colon and not argument):
        known = ", ".join(kind + argument for kind, argument in _ARGUMENTS.items())
        raise InputError(f"no first stage is called {name!r}; there are {known}")
    if language is not None and kind not in _LEXICAL:
        raise InputError(f"language {language!r}: {name} splits no words; only {', '.join(_LEXICAL)} do")
    said = {} if language is None else {"language": language}
    retriever: Retriever = import_module(f"firstrank.reranker.retrievers.{kind}").open_retriever(argument, os.fspath(corpus), **said)
    return retriever


def retrieve(retriever: Retriever, queries: Iterable[Query], depth: int, *, drop_self: bool = False) -> Iterator[Ranked]:
    """`depth` candidates for each query; with `drop_self`, none whose docid is the qid (queries that are documents: ArguAna).

    Warns of queries that found nothing. Raises InputError where none found anything.
    """
    if depth < 1:
        raise InputError(f"depth {depth}: at least one candidate a query is needed")
    count, nothing = 0, list[str]()
    for ranked in retriever.search(queries, depth + drop_self):
        kept = ranked.without(ranked.qid).top(depth) if drop_self else ranked
        count += 1
        if not kept.docids:
            nothing.append(kept.qid)
        yield kept
    if nothing:
        message = f"{len(nothing)} of {count} queries found nothing ({some(nothing)})"
        if len(nothing) == count:
            raise InputError(f"{message}: {_WHY}")
        _log.warning("%s: %s", message, _WHY)
