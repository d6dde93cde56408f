"""BM25 in other languages than English."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers import languages
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.retrievers.register import open_retriever, retrieve
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.types import Passage

PASSAGES = [
    Passage("zh1", "蜜蜂采集花蜜并酿成蜂蜜。"),
    Passage("zh2", "上海是中国最大的城市。"),
    Passage("ja1", "東京は日本の首都です。"),
    Passage("ja2", "蜂は花の蜜を集めます。"),
    Passage("th1", "กรุงเทพเป็นเมืองหลวงของประเทศไทย"),
    Passage("th2", "ผึ้งทำน้ำผึ้งจากดอกไม้"),
    Passage("ko1", "서울은 대한민국의 수도이다."),
    Passage("ko2", "꿀벌은 꽃에서 꿀을 모은다."),
    Passage("km1", "ភ្នំពេញជារាជធានីនៃប្រទេសកម្ពុជា"),
    Passage("hi1", "दिल्ली भारत की राजधानी है।"),
    Passage("ar1", "القاهرة هي عاصمة مصر"),
    Passage("he1", "יְרוּשָׁלַיִם היא בירה"),
    Passage("ru1", "Москва является столицей России"),
    Passage("en1", "Bees make honey."),
]
ASKED = [
    ("蜂蜜怎么酿", "zh1"),
    ("中国的城市", "zh2"),
    ("日本の首都はどこ", "ja1"),
    ("เมืองหลวงของไทย", "th1"),
    ("น้ำผึ้ง", "th2"),
    ("대한민국 수도", "ko1"),
    ("꿀벌", "ko2"),
    ("រាជធានីកម្ពុជា", "km1"),
    ("भारत की राजधानी", "hi1"),
    ("عاصمة مصر", "ar1"),
    ("ירושלים", "he1"),
    ("honey bee", "en1"),
]


@pytest.mark.parametrize(("text", "best"), ASKED)
def test_the_script_is_found_from_the_text(text: str, best: str) -> None:
    [ranked] = BM25(PASSAGES).search([Query("q", text)], 3)
    assert ranked.docids[0] == best


@pytest.mark.parametrize(
    ("language", "package", "text", "best"),
    [
        ("zh", "rjieba", "蜂蜜怎么酿", "zh1"),
        ("ja", "sudachipy", "日本の首都はどこ", "ja1"),
        ("th", "pythainlp", "เมืองหลวงของประเทศไทย", "th1"),
        ("ko", "kiwipiepy", "대한민국 수도", "ko1"),
    ],
)
def test_a_kept_tokenizer_where_one_is_installed(language: str, package: str, text: str, best: str) -> None:
    pytest.importorskip(package)
    index = BM25(PASSAGES, language)
    [ranked] = index.search([Query("q", text)], 3)
    assert ranked.docids[0] == best
    assert not set(index._tokenizer.get_vocab_dict()) & {"ja": {"は", "です"}, "ko": {"의", "이다"}}.get(language, {"。", " "})


@pytest.mark.parametrize(
    ("language", "text", "best"), [("zh", "蜂蜜怎么酿", "zh1"), ("ja", "日本の首都", "ja1"), ("ko", "대한민국 수도", "ko1")]
)
def test_without_it_characters_stand_in_and_this_is_said(
    language: str, text: str, best: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> languages.Split:
        raise ImportError

    package, _ = languages._KEPT[language]
    monkeypatch.setitem(languages._KEPT, language, (package, gone))
    with caplog.at_level(logging.WARNING):
        [ranked] = BM25(PASSAGES, language).search([Query("q", text)], 3)
    assert ranked.docids[0] == best
    assert f"{package} is not installed" in caplog.text
    assert "firstrank[languages]" in caplog.text


@pytest.mark.parametrize(
    ("language", "passage", "query"),
    [("de", "Die Häuser der Stadt", "Haus Häusern"), ("ru", "столица России", "столицы"), ("fr", "les chevaux", "cheval")],
)
def test_words_are_stemmed_by_the_language(language: str, passage: str, query: str) -> None:
    passages = [Passage("a", passage), Passage("b", "etwas")]
    [ranked] = BM25(passages, language).search([Query("q", query)], 3)
    assert ranked.docids == ("a",)


def test_every_language_can_be_opened_and_another_is_named() -> None:
    for language in languages.LANGUAGES:
        if language not in languages._KEPT:
            assert languages.tokenizer_of(language)
    with pytest.raises(InputError, match=r"language 'xx': there are ar \(Arabic\)"):
        BM25(PASSAGES, "xx")
    with pytest.raises(InputError, match=r"language 'zh': dense:minilm splits no words; only bm25, rm3, hybrid do"):
        open_retriever("dense:minilm", "corpus", "zh")


def test_rm3_takes_a_language_too(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv").write_text("a\tDie Häuser der Stadt\nb\tnichts\n")
    for name in ("bm25", "rm3"):
        [ranked] = open_retriever(name, tmp_path, "de").search([Query("q", "Haus Häusern")], 3)
        assert ranked.docids == ("a",)


def test_queries_that_find_nothing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    queries = [Query("1", "C"), Query("2", "honey"), Query("3", "the of and"), Query("4", "")]
    with caplog.at_level(logging.WARNING):
        assert [len(ranked.docids) for ranked in retrieve(BM25(PASSAGES), queries, 3)] == [0, 1, 0, 0]
    assert "3 of 4 queries found nothing ('1', '3', '4'): a query finds passages that share a word" in caplog.text
    with pytest.raises(InputError, match="2 of 2 queries found nothing"):
        list(retrieve(BM25(PASSAGES), [queries[0], queries[3]], 3))
