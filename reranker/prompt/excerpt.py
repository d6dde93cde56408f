"""Which part of a long passage is shown: from the sentence on where most of the query's words are, the rare ones counting most.

Query-biased summaries (Tombros and Sanderson, SIGIR 1998), with English stems; the words and sentences of other scripts are known too. How
rare a word is among a query's candidates weighs it, as in BM25; what a title says is seen, so it counts for no sentence.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import NamedTuple

from firstrank.reranker.prompt.words import spans
from firstrank.reranker.types import Passage

_TOKEN = 4
"""of a text's width (characters of the Latin script, bytes of others) that make a token; English has a few more, code a few less"""
_TITLE = 2
"""a title takes at most one part in so many"""

_GAP = re.compile(r"(?<=[.!?।॥؟۔։።])\s+|\n\s*\n|(?<=[\u0e00-\u0eff])\s+(?=[\u0e00-\u0eff])")
"""between sentences; Thai and Lao have a space there, and nothing else"""
_WIDE = re.compile("[\u0370-\u1fff\u2c00-\U0010ffff]")
"""what is not of the Latin script, nor punctuation that it uses: counts its bytes, as about so many tokens come of it"""
_CLOSED = re.compile(r"(?<=[。！？｡])(?![。！？｡」』”）])")
"""between sentences that no space divides"""


class Word(NamedTuple):
    """A word of the query in a text, stemmed, and the characters where it begins and ends."""

    start: int
    end: int
    stem: str


class Text(NamedTuple):
    """A text with its white space made single, where its sentences begin, and the query's words in it and in its title."""

    text: str
    starts: tuple[int, ...]
    words: tuple[Word, ...]
    titled: tuple[Word, ...]


def excerpts(query: str, passages: Sequence[Passage], tokens: int) -> tuple[Passage, ...]:
    """The passages, of which about `tokens` each will be shown, from the first sentence of their best part on."""
    english = _English()
    asked = {word.stem for word in english.words(query)}
    texts = [_read(passage, english, asked) for passage in passages]
    weights = _rarity(texts)
    return tuple(_excerpt(passage, text, weights, _TOKEN * tokens) for passage, text in zip(passages, texts, strict=True))


def _excerpt(passage: Passage, text: Text, weights: Mapping[str, float], room: int) -> Passage:
    title = _shortened(passage.title, room // _TITLE)
    seen = {word.stem for word in text.titled if word.end <= len(title)}
    return replace(passage, title=title, text=text.text[_best(text, seen, weights, room - _width(title)) :])


def _best(text: Text, seen: Collection[str], weights: Mapping[str, float], width: int) -> int:
    """Where the sentence begins from which on a part so wide holds the heaviest words not `seen` yet; the first of equals."""
    words = [word for word in text.words if word.stem not in seen]
    begins, ends = [word.start for word in words], _widths(text.text, [word.end for word in words])
    places = dict(zip(text.starts, _widths(text.text, text.starts), strict=True))

    def weight(start: int) -> float:
        held = words[bisect_left(begins, start) : bisect_right(ends, places[start] + width)]
        return sum(weights[stem] for stem in sorted({word.stem for word in held}))

    return max(text.starts, key=weight)


def _width(text: str) -> int:
    return len(text) + sum(len(character.encode("utf-8", "surrogatepass")) - 1 for character in _WIDE.findall(text))


def _widths(text: str, places: Sequence[int]) -> Sequence[int]:
    """Places of a text, in its order: how wide it is up to each."""
    if not _WIDE.search(text):
        return places
    return list(accumulate(_width(text[start:end]) for start, end in pairwise([0, *places])))


def _rarity(texts: Sequence[Text]) -> dict[str, float]:
    """BM25's weight of each word, by the number of texts that have it."""
    having = Counter(stem for text in texts for stem in {word.stem for word in text.titled + text.words})
    return {stem: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for stem, n in having.items()}


def _read(passage: Passage, english: _English, asked: Collection[str]) -> Text:
    def words(text: str) -> tuple[Word, ...]:
        return tuple(word for word in english.words(text) if word.stem in asked)

    sentences = [" ".join(sentence.split()) for sentence in _GAP.split(passage.text)]
    joined = " ".join(sentences)
    starts = [*accumulate((len(sentence) + 1 for sentence in sentences[:-1]), initial=0)]
    if not joined.isascii():
        starts = sorted({*starts, *(match.start() for match in _CLOSED.finditer(joined) if joined[match.start() :].strip())})
    return Text(joined, tuple(starts), words(joined), words(passage.title))


def _shortened(text: str, room: int) -> str:
    """A title cut to so much width, between words if it has any spaces."""
    if _width(text) <= room:
        return text
    kept = bisect_right(_widths(text, range(1, len(text) + 1)), room)
    return text[: kept + 1].rpartition(" ")[0] or text[:kept]


class _English:
    """A stemmer, which is one thread's alone, and the stop words, question words among them: rare in passages, they would count most."""

    def __init__(self) -> None:
        import Stemmer
        from bm25s.stopwords import STOPWORDS_EN_PLUS

        self._stem, self._stop_words = Stemmer.Stemmer("english").stemWord, frozenset(STOPWORDS_EN_PLUS)

    def words(self, text: str) -> Iterator[Word]:
        """A text's words without stop words."""
        for start, end in spans(text):
            if (word := text[start:end].lower()) not in self._stop_words:
                yield Word(start, end, self._stem(word))
