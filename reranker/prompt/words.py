"""Words of a text in any script: what lexical search and excerpts compare.

Where words stand between spaces, a word is letters and digits with the marks on them. Chinese and Japanese are written without spaces
and Korean joins particles to its words: there each pair of neighbouring characters is a word, as in Lucene's CJK analysis. Thai, Lao,
Khmer and Burmese have no spaces between words either: there it is each three, about a syllable.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31c0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_HAN += "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
"""Chinese and Japanese"""
_PAIRS = f"{_HAN}\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
"""and Korean"""
_THREES = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eb9\u0ebb-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u109f\u1780-\u17d3\uaa60-\uaa7f"
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
)
_MARKS += "\u0711\u0730-\u074a\u0900-\u0963\u0971-\u0df3\u0f18-\u0f19\u0f35-\u0f84\u0f90-\u0fbc\u200c\u200d"
"""combining marks, and the blocks of India's scripts, whose vowel signs are no letters to `re`"""

_VOWELS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u200c\u200d]")
"""what Hebrew and Arabic may write or leave out"""

_ASCII = re.compile(r"\w+")
_RUN = re.compile(f"(?P<two>[{_PAIRS}]+)|(?P<three>[{_THREES}]+)|(?:(?![{_PAIRS}{_THREES}])[\\w{_MARKS}])+")

_UNSPACED = re.compile(f"[{_HAN}{_THREES}]")
_COUNTED = re.compile(f"[{_HAN}]{{1,2}}[^\\w\\s]*|[{_THREES}]{{1,4}}[^\\w\\s]*|[^\\s{_HAN}{_THREES}]+")
"""a word where words are only counted: about so many letters make one, with the signs behind it"""


def first_words(text: str, count: int) -> str:
    """The first so many words, white space made single. Without spaces between words, two Chinese or Japanese letters count as one, and
    four of Thai, Lao, Khmer or Burmese; a letter keeps the marks on it.
    """
    words = text.split()
    if not _UNSPACED.search(text):
        return " ".join(words[:count])
    whole = " ".join(words)
    *_, last = islice(_COUNTED.finditer(whole), count)
    end = last.end()
    while end < len(whole) and unicodedata.category(whole[end]).startswith("M"):
        end += 1
    return whole[:end]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each word begins and ends."""
    if text.isascii():
        yield from (match.span() for match in _ASCII.finditer(text))
        return
    for match in _RUN.finditer(text):
        start, end = match.span()
        size = 2 if match["two"] else 3 if match["three"] else end - start
        yield from ((i, i + size) for i in range(start, end - size + 1))
        if end - start < size:
            yield start, end


def words(text: str) -> list[str]:
    """A text's words, lower case, accents in one form, without the vowel points of Hebrew and Arabic.

    Those of one character are left out where words stand between spaces.
    """
    if text.isascii():
        return [word for word in _ASCII.findall(text.lower()) if len(word) > 1]
    text = _VOWELS.sub("", unicodedata.normalize("NFC", text.lower()))
    return [word for start, end in spans(text) if len(word := text[start:end]) > 1 or is_unspaced(word)]


def is_unspaced(text: str) -> bool:
    """Whether a text begins with a character of a script without spaces between words (or with Korean)."""
    return bool((match := _RUN.match(text)) and (match["two"] or match["three"]))
