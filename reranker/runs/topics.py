"""TREC topics: SGML with tags closed or not, and the XML dialects (`<topic number="1"><query>`), wrapped in a root or not.

Read tolerantly and not as XML, for the SGML that TREC hands out is none: a tag may have no end, and `&` and `<` stand for themselves.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from html import unescape
from itertools import accumulate
from typing import NamedTuple

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.ids import one_word

_BLOCKS = ("top", "topic", "inex_topic", "query")
"""what a topic is called, the first of these that a file has"""

_QID = ("num", "number", "id", "qid", "identifier", "topic_id", "query_id")
_TEXT = ("title", "query", "content", "text", "keywords", "question", "utterance")
_SHORT = re.compile(r"[a-z]{2}-title")
"""CLEF's titles, with their language"""

_ASIDE = re.compile(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>\[]*(?:\[.*?\])?[^>]*>", re.DOTALL | re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>")
_ATTRIBUTE = re.compile(r"([\w.:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|amp|lt|gt|quot|apos);")


class Tag(NamedTuple):
    """A tag, and where it begins and ends in the text."""

    name: str
    closes: bool
    attributes: dict[str, str]
    start: int
    end: int


def topics(name: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, str, str]]:
    """(line, qid, text) of each topic of a file. Raises FormatError for one without number or text, or without an end, and for no topic."""
    numbered = [(number, f"{line.decode()}\n") for number, line in lines]
    begins = list(accumulate((len(line) for _, line in numbered), initial=0))
    text = _ASIDE.sub(_blanked, _CDATA.sub(_escaped, "".join(line for _, line in numbered)))
    tags = [_tag(match) for match in _TAG.finditer(text)]
    there = {tag.name for tag in tags}
    block = next((one for one in _BLOCKS if one in there), None)
    if block is None:
        raise FormatError(name, 1, f"no topics: <top> or <topic> is expected in a file that begins with <{next(iter(there), '')}")
    for inner in _blocks(block, tags):
        line = numbered[bisect_right(begins, inner[0].start) - 1][0]
        if not inner[-1].closes or inner[-1].name != block:
            raise FormatError(name, line, f"a topic that does not end: </{block}> is missing")
        qid, asked = _fields(text, inner)
        if not qid or not asked:
            fields = ", ".join(dict.fromkeys(tag.name for tag in inner[1:] if not tag.closes))
            lacks = "<num> or a number" if not qid else "<title> or <query>"
            raise FormatError(name, line, f"a topic without {lacks}" + (f" (it has {fields})" if fields else ""))
        yield line, one_word(name, line, qid), asked


def _blocks(block: str, tags: list[Tag]) -> Iterator[list[Tag]]:
    """The tags of each topic, its own first and last; the last is another's where a topic does not end."""
    inner: list[Tag] = []
    for tag in tags:
        if tag.name == block and not tag.closes and inner:
            yield inner
            inner = []
        if inner or (tag.name == block and not tag.closes):
            inner.append(tag)
        if inner and tag.name == block and tag.closes:
            yield inner
            inner = []
    if inner:
        yield inner


def _fields(text: str, inner: list[Tag]) -> tuple[str, str]:
    """The number and the text of a topic."""
    found = {**inner[0].attributes}
    for place, tag in enumerate(inner[1:-1], 1):
        if not tag.closes and not found.get(tag.name):
            found[tag.name] = _said(text[tag.end : _end(inner, place)])
    qid = re.sub(r"^number\s*:", "", next((found[key] for key in _QID if found.get(key)), ""), flags=re.IGNORECASE).strip()
    titled = next((key for key in found if _SHORT.fullmatch(key)), "title")
    asked = next((found[key] for key in (titled, *_TEXT) if found.get(key)), "")
    if not asked and len(inner) == 2:
        asked = _said(text[inner[0].end : inner[1].start])
    return qid, re.sub(r"^topic\s*:", "", asked, flags=re.IGNORECASE).strip()


def _end(inner: list[Tag], place: int) -> int:
    """Where the content of a tag ends: at its own end, else at the next tag."""
    own = next((tag for tag in inner[place + 1 :] if tag.name == inner[place].name), None)
    return own.start if own is not None and own.closes else inner[place + 1].start


def _said(text: str) -> str:
    """A text without tags and entities, its white space made single."""
    return " ".join(_ENTITY.sub(lambda match: unescape(match[0]), _TAG.sub(" ", text)).split())


def _tag(match: re.Match[str]) -> Tag:
    attributes = {key.lower(): unescape(one or other) for key, one, other in _ATTRIBUTE.findall(match[3])}
    return Tag(match[2].lower(), bool(match[1]), attributes, match.start(), match.end())


def _blanked(match: re.Match[str]) -> str:
    """Nothing, in as many characters and lines, so that all else stays in its place."""
    return re.sub(r"[^\n]", " ", match[0])


def _escaped(match: re.Match[str]) -> str:
    """The text of a CDATA section, without tags of its own; as long as it was."""
    return match[1].replace("<", "\u2039").ljust(len(match[0]))
