"""How BM25 splits a text into words, by language.

Without a language, `prompt/words.py` finds the script by itself, with English stop words and English stems. With one: its stems and
stop words, where there are any; and for Chinese, Japanese, Thai and Korean a tokenizer with a dictionary, where one is installed
(`firstrank[languages]`), else pairs or threes of characters, which find nearly as much.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import Stemmer
from bm25s.tokenization import Tokenizer

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.words import words

_log = logging.getLogger(__name__)

Split = Callable[[str], list[str]]


class Language(NamedTuple):
    """A language, what stems its words, and whether bm25s has its stop words."""

    name: str
    stems: str | None = None
    stops: bool = False


LANGUAGES = {
    "ar": Language("Arabic", "arabic"),
    "ca": Language("Catalan", "catalan"),
    "cs": Language("Czech", "czech"),
    "da": Language("Danish", "danish", True),
    "de": Language("German", "german", True),
    "el": Language("Greek", "greek"),
    "en": Language("English", "english", True),
    "es": Language("Spanish", "spanish", True),
    "et": Language("Estonian", "estonian"),
    "eu": Language("Basque", "basque"),
    "fa": Language("Persian", "persian"),
    "fi": Language("Finnish", "finnish"),
    "fr": Language("French", "french", True),
    "ga": Language("Irish", "irish"),
    "hi": Language("Hindi", "hindi"),
    "hu": Language("Hungarian", "hungarian"),
    "hy": Language("Armenian", "armenian"),
    "id": Language("Indonesian", "indonesian"),
    "it": Language("Italian", "italian", True),
    "ja": Language("Japanese"),
    "ko": Language("Korean"),
    "lt": Language("Lithuanian", "lithuanian"),
    "ne": Language("Nepali", "nepali"),
    "nl": Language("Dutch", "dutch", True),
    "no": Language("Norwegian", "norwegian", True),
    "pl": Language("Polish", "polish"),
    "pt": Language("Portuguese", "portuguese", True),
    "ro": Language("Romanian", "romanian"),
    "ru": Language("Russian", "russian", True),
    "sr": Language("Serbian", "serbian"),
    "sv": Language("Swedish", "swedish", True),
    "ta": Language("Tamil", "tamil"),
    "th": Language("Thai"),
    "tr": Language("Turkish", "turkish", True),
    "yi": Language("Yiddish", "yiddish"),
    "zh": Language("Chinese"),
}


def tokenizer_of(language: str | None) -> Tokenizer:
    """bm25s's tokenizer for a language, by its code of two letters. Raises InputError for one that is not known."""
    known = LANGUAGES.get(language or "en")
    if known is None:
        raise InputError(f"language {language!r}: there are {', '.join(f'{code} ({one.name})' for code, one in LANGUAGES.items())}")
    stems = None
    if known.stems is not None:
        if known.stems not in Stemmer.algorithms():
            _log.warning("language %s: this PyStemmer has no stemmer for %s: words are searched as they are written", language, known.name)
        else:
            stems = Stemmer.Stemmer(known.stems)
    return Tokenizer(splitter=_splitter(language), stopwords=language or "en" if known.stops else [], stemmer=stems)


def _splitter(language: str | None) -> Split:
    """What splits a text; the kept tokenizer of a language, or characters with a note of what would be better."""
    if language not in _KEPT:
        return words
    package, open_splitter = _KEPT[language]
    try:
        return open_splitter()
    except ImportError:
        _log.warning(
            "language %s: %s is not installed: words are guessed from neighbouring characters (pip install 'firstrank[languages]')",
            language,
            package,
        )
        return words


def _chinese() -> Split:
    import rjieba

    return partial(_letters, rjieba.cut_for_search)


def _japanese() -> Split:
    from sudachipy import Dictionary, SplitMode

    opened = Dictionary(dict="core")
    tokenizer = getattr(opened, "tokenizer", opened.create)(mode=SplitMode.A)
    grammar = {"助詞", "助動詞", "補助記号", "空白"}

    def split(text: str) -> list[str]:
        return [
            one.dictionary_form() for part in _parts(text) for one in tokenizer.tokenize(part) if one.part_of_speech()[0] not in grammar
        ]

    return split


def _thai() -> Split:
    from pythainlp.tokenize import word_tokenize

    return partial(_letters, partial(word_tokenize, engine="newmm", keep_whitespace=False))


def _korean() -> Split:
    from kiwipiepy import Kiwi

    kiwi = Kiwi()
    grammar = ("J", "E", "S", "XS", "VC", "UN")
    foreign = ("SL", "SH", "SN")

    def split(text: str) -> list[str]:
        found = kiwi.tokenize(text)
        return [one.form for one in found if one.tag in foreign or not one.tag.startswith(grammar)]

    return split


_KEPT: dict[str | None, tuple[str, Callable[[], Split]]] = {
    "ja": ("sudachipy", _japanese),
    "ko": ("kiwipiepy", _korean),
    "th": ("pythainlp", _thai),
    "zh": ("rjieba", _chinese),
}
_MOST = 10_000
"""characters that SudachiPy takes at once (49,149 bytes)"""


def _letters(cut: Callable[[str], list[str]], text: str) -> list[str]:
    """The words of a text that hold a letter or a digit."""
    return [word for word in map(str.strip, cut(text)) if any(map(str.isalnum, word))]


def _parts(text: str) -> list[str]:
    return [text[i : i + _MOST] for i in range(0, len(text), _MOST)]
