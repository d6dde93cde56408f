"""Ids: what a TREC file can hold, and which one was meant where two files do not meet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from firstrank.reranker.errors import FormatError

_SHOWN = 5
_WHITE = re.compile(r"[ \t\n\r\v\f]")
"""to trec_eval; a no-break space is a letter to it"""


def one_word(name: str, number: int, found: str) -> str:
    """An id that a run can hold. Raises FormatError for one with white space in it, which splits a line of a run or of qrels in two."""
    if _WHITE.search(found):
        raise FormatError(name, number, f"the id {found!r} holds white space: no TREC run can hold it; write another, in all files")
    return found


def some(ids: Sequence[str], count: int | None = None) -> str:
    """The first few of them, for a message; `count` is how many there are, if not all are given."""
    more = ", …" if (count or len(ids)) > _SHOWN else ""
    return ", ".join(map(repr, ids[:_SHOWN])) + more


def hint(lacking: Iterable[str], there: Iterable[str]) -> str:
    """Names the id that is there in another spelling (leading zeros, capitals, a float's `.0`, white space), or says nothing."""
    wanted = {_bare(one): one for one in lacking}
    for one in there:
        if (meant := wanted.get(_bare(one))) is not None and meant != one:
            return f" (it has {one!r} where {meant!r} is asked for: ids are compared as they are written)"
    return ""


def _bare(found: str) -> str:
    bare = found.strip().lower().removesuffix(".0").strip("\ufeff\"'")
    return bare.lstrip("0") or bare
