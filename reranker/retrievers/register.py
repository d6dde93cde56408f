"""First stages, by name: `bm25`, `rm3`, `dense:MODEL`, `sparse:MODEL`, `hybrid:MODEL`, `pyserini:INDEX`.

A module here that wraps a first stage has a function `open_retriever(argument, corpus)`, which gives a Retriever.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Protocol

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Ranked

_ARGUMENTS = {"bm25": "", "rm3": "", "dense": ":MODEL", "sparse": ":MODEL", "hybrid": ":MODEL", "pyserini": ":INDEX"}


class Retriever(Protocol):
    """A first stage over one corpus."""

    def search(self, queries: Iterable[Query], depth: int) -> Iterator[Ranked]:
        """The best `depth` passages of each query, in trec_eval's order; fewer, or none, where no more match."""
        ...

    def close(self) -> None: ...


def open_retriever(name: str, corpus: str | os.PathLike[str]) -> Retriever:
    """The first stage of that name over a corpus (a SOURCE). Raises InputError for an unknown name, MissingExtra."""
    kind, colon, argument = name.partition(":")
    if kind not in _ARGUMENTS or bool(_ARGUMENTS[kind]) != bool(argument) or (colon and not argument):
        known = ", ".join(kind + argument for kind, argument in _ARGUMENTS.items())
        raise InputError(f"no first stage is called {name!r}; there are {known}")
    retriever: Retriever = import_module(f"firstrank.reranker.retrievers.{kind}").open_retriever(argument, os.fspath(corpus))
    return retriever


def retrieve(retriever: Retriever, queries: Iterable[Query], depth: int, *, drop_self: bool = False) -> Iterator[Ranked]:
    """`depth` candidates for each query; with `drop_self`, none whose docid is the qid (queries that are documents: ArguAna)."""
    if depth < 1:
        raise InputError(f"depth {depth}: at least one candidate a query is needed")
    for ranked in retriever.search(queries, depth + drop_self):
        yield ranked.without(ranked.qid).top(depth) if drop_self else ranked
