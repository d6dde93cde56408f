"""Excerpts: the part of a long passage that the query asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.prompt.excerpt import excerpts
from firstrank.reranker.types import Passage

BEES = "Bees make honey of nectar. They dance to tell where flowers are! Queens lay eggs, two thousand on a day.\n\nDrones have no sting"
TEXTS = st.text(st.sampled_from("bee queen\n.!? é蜂\U0001f41d"), max_size=300)


def shown(query, *texts, tokens=8, title=""):
    return [passage.text for passage in excerpts(query, [Passage(str(i), text, title) for i, text in enumerate(texts)], tokens)]


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("how much honey?", "Bees make honey"),
        ("how do they tell by a dance?", "They dance"),
        ("does the queen lay an EGG", "Queens lay eggs"),
        ("a drone's sting", "Drones have"),
        ("what is a wasp?", "Bees make honey"),
        ("", "Bees make honey"),
    ],
)
def test_a_passage_begins_with_the_sentence_that_is_asked_for(query, start):
    assert shown(query, BEES)[0].startswith(start)


def test_a_rare_word_counts_more_than_a_common_one():
    """All passages speak of bees, one of them of drones as well, further down."""
    query, common = "bee drone", "Bees are many. " * 5
    found = shown(query, common + "Drones are few.", common, common, tokens=4)
    assert found == ["Drones are few.", common, common]


def test_what_does_not_fit_behind_a_sentence_is_not_counted_for_it():
    text = "Bees live here. " + "Nothing is said here. " * 10 + "Queens and drones of bees live there."
    assert shown("bee queen drone", text)[0].startswith("Queens")


def test_of_equals_the_first():
    assert shown("bees", "Bees fly. Bees sing. Bees die.", tokens=2) == ["Bees fly. Bees sing. Bees die."]


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("All about the bees", "All about the"),
        ("Hymenopterologically", "Hymenopterologic"),
        ("Bees", "Bees"),
        ("Sixteen chars ok", "Sixteen chars ok"),
        ("Sixteen chars ok, and more", "Sixteen chars"),
        ("Sixteen chars ok and more", "Sixteen chars ok"),
    ],
)
def test_a_long_title_leaves_room_for_the_text(title, kept):
    [passage] = excerpts("queen", [Passage("a", BEES, title)], 8)
    assert passage.title == kept
    assert passage.text.startswith("Queens")


def test_what_the_title_says_need_not_be_said_again():
    assert shown("the queen's sting", BEES, title="Queens")[0].startswith("Drones")
    assert shown("the queen", BEES, title="Queens")[0].startswith("Bees make")
    assert shown("the queen", BEES, title="Of bees and of flowers, and queens")[0].startswith("Queens")


@given(query=TEXTS, texts=st.lists(TEXTS, max_size=5), title=TEXTS, tokens=st.integers(1, 100))
def test_any_text_is_shown_from_somewhere_to_its_end(query, texts, title, tokens):
    for text, found in zip(texts, shown(query, *texts, tokens=tokens, title=title), strict=True):
        assert " ".join(text.split()).endswith(" ".join(found.split()))
        assert bool(found) == bool(text.strip())


@pytest.mark.parametrize(
    ("query", "text", "start"),
    [
        ("蜂王产多少卵？", "蜜蜂用花蜜酿造蜂蜜。它们用舞蹈告诉同伴花在哪里。蜂王每天产两千个卵。雄蜂没有刺。", "蜂王每天"),
        ("女王蜂の卵", "蜂は花の蜜を集めます。踊りで場所を伝えます。女王蜂は一日に二千個の卵を産みます。", "女王蜂"),
        ("여왕벌 알", "꿀벌은 꽃에서 꿀을 모은다. 춤으로 꽃의 위치를 알린다. 여왕벌은 하루에 알을 이천 개 낳는다.", "여왕벌"),
        ("ราชินีวางไข่", "ผึ้งทำน้ำผึ้งจากดอกไม้ พวกมันเต้นรำบอกทางไปดอกไม้ ราชินีวางไข่วันละสองพันฟอง", "ราชินี"),
        ("रानी के अंडे", "मधुमक्खियाँ शहद बनाती हैं। वे नाचकर फूल बताती हैं। रानी हर दिन दो हज़ार अंडे देती है।", "रानी हर"),
        ("بيض الملكة", "النحل يصنع العسل من الرحيق. هل يرقص النحل؟ تضع الملكة ألفي بيضة بيض كل يوم.", "تضع الملكة"),
        ("ביצים של המלכה", "דבורים מייצרות דבש מצוף. הן רוקדות כדי לספר. המלכה מטילה אלפיים ביצים ביום.", "המלכה"),
        (
            "яйца королевы",
            "Пчёлы делают мёд из нектара. Они танцуют перед ульем. Королевы откладывают яйца королевы.",
            "Королевы",
        ),
    ],
)
def test_other_scripts_begin_with_the_sentence_that_is_asked_for(query, text, start):
    [found] = shown(query, text, tokens=10)
    assert found.startswith(start)
    assert text.endswith(found)


def test_a_cut_counts_bytes_where_a_character_is_a_token():
    """Eight tokens hold about ten Chinese characters, not 32: what lies beyond is not counted for the first sentence."""
    text = "蜜蜂住在这里。这里没有什么可说的。" + "这里没有什么。" * 3 + "蜂王和雄蜂住在那里。"
    assert shown("蜂王和雄蜂", text, tokens=8)[0].startswith("蜂王和")


@pytest.mark.parametrize("title", ["蜜蜂蜂王雄蜂与花蜜的一切知识", "ผึ้งและดอกไม้ทั้งหมด", "دليل كامل للنحل والزهور"])
def test_a_long_title_is_cut_between_characters(title):
    [passage] = excerpts("q", [Passage("a", BEES, title)], 8)
    assert passage.title
    assert title.startswith(passage.title)
    assert len(passage.title.encode()) <= 16
