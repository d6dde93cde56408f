"""Words in many scripts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.prompt.words import first_words, spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's a don't_x 3.5, C++ Go", ["it", "don", "t_x", "go"]),
        ("中国的首都", ["中国", "国的", "的首", "首都"]),
        ("在 iPhone上", ["在", "iphone", "上"]),
        ("日本の", ["日本", "本の"]),
        ("수도는 서울", ["수도", "도는", "서울"]),
        ("ไทย", ["ไทย"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा"]),
        ("עִבְרִית, שלום", ["עברית", "שלום"]),
        ("مِصْر مصر", ["مصر", "مصر"]),
        ("cafe\u0301 caf\u00e9 STRASSE", ["caf\u00e9", "caf\u00e9", "strasse"]),
        ("Привет, мир", ["привет", "мир"]),
        ("é où à", ["où"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.sampled_from("abé 中国のไท่하,_1\u0301")))
def test_spans_lie_in_the_text_in_order(text: str) -> None:
    found = list(spans(text))
    assert found == sorted(found)
    assert all(0 <= start < end <= len(text) for start, end in found)
    assert bool(found) >= bool(re.search("[ab中国한]", text))


@given(st.text(st.characters(max_codepoint=127)))
def test_english_is_split_as_it_always_was(text: str) -> None:
    assert words(text) == re.findall(r"(?u)\b\w\w+\b", text.lower())


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("a  b\tc d", 3, "a b c"),
        ("北京是中华人民共和国的首都。", 3, "北京是中华人"),
        ("北京。上海。", 1, "北京。"),
        ("我有 iPhone手机 两部", 3, "我有 iPhone手机"),
        ("กรุงเทพเป็นเมือง", 1, "กรุง"),
        ("น้ำผึ้ง", 1, "น้ำผึ้"),
        ("ພາສາລາວ", 1, "ພາສາ"),
        ("수도는 서울 이다", 2, "수도는 서울"),
        ("שלום לכולם כאן", 2, "שלום לכולם"),
        ("مرحبا بالعالم", 1, "مرحبا"),
        ("हिन्दी भाषा है", 2, "हिन्दी भाषा"),
        ("", 3, ""),
        ("。", 3, "。"),
    ],
)
def test_the_first_words(text: str, count: int, expected: str) -> None:
    assert first_words(text, count) == expected


@given(st.text(st.sampled_from("abé 中国のไท่ु하,_1\u0301。\n")), st.integers(1, 12))
def test_the_first_words_begin_the_text_and_more_of_them_are_more(text: str, count: int) -> None:
    whole, fewer, more = " ".join(text.split()), first_words(text, count), first_words(text, count + 1)
    assert whole.startswith(more)
    assert more.startswith(fewer)
    assert first_words(text, len(text) + 1) == whole
    if not re.search("[中国のไท่]", text):
        assert fewer == " ".join(text.split()[:count])
