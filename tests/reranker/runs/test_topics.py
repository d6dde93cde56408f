"""TREC topics in the dialects that tracks hand out."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.queries import Query, read_queries

EXPECTED = [Query("1", "who wrote Emma?"), Query("2", "how do bees make honey?")]


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0" encoding="UTF-8"?>\n<topics task="batch">\n<topic number="1">\n<query>who wrote Emma?</query>\n'
        "<question>x</question>\n</topic>\n<topic number='2'><query>how do bees\n make honey?</query></topic></topics>\n",
        '<webtrack2013>\n<topic number="1" type="faceted"><query>who wrote Emma?</query><description>d\n</description></topic>\n'
        '<topic number="2"><query>how do bees make honey?</query></topic></webtrack2013>',
        '<topics><topic number="1">\nwho wrote Emma?\n</topic>\n<topic number="2">how do bees make honey?</topic></topics>\n',
        "<topics>\n<topic><number>1</number><title>who wrote Emma?</title></topic>\n"
        "<topic><number>2</number><title>how do bees make honey?</title></topic>\n</topics>\n",
        "<queries>\n<query><qid>1</qid><content>who wrote Emma?</content></query>\n"
        "<query><qid>2</qid><content>how do bees make honey?</content></query>\n</queries>\n",
        "<top>\n<num> Number: 1 </num>\n<query> who wrote Emma? </query>\n<querytime> Tue </querytime>\n</top>\n"
        "<top>\n<num> Number: 2 </num>\n<query> how do bees make honey? </query>\n</top>\n",
        "<xml>\n<top lang='en'><identifier>1</identifier><title>who wrote Emma?</title><desc>d</desc></top>\n"
        "<top lang='en'><identifier>2</identifier><title>how do bees make honey?</title></top>\n</xml>\n",
        "<top>\n<num>1</num>\n<EN-title>who wrote Emma?</EN-title>\n<EN-desc>x</EN-desc>\n</top>\n"
        "<top>\n<num>2</num>\n<EN-title>how do bees make honey?</EN-title>\n</top>\n",
        "<TOP>\n<HEAD> Topic\n<NUM> Number:  1\n<TITLE> Topic:  who wrote Emma?\n<DESC> Description:\nfoo\n</TOP>\n"
        "<TOP><NUM> Number:  2\n<TITLE> Topic:\nhow do bees\nmake honey?\n\n<DESC> Description:\n</TOP>\n",
        '<!DOCTYPE topics [<!ELEMENT topics (topic+)>]>\n<!-- <topic number="0"><query>no</query></topic> -->\n<topics>\n'
        '<topic number="1"><query><![CDATA[who wrote Emma?]]></query></topic>\n<topic number="2">\n'
        "<query>how do <b>bees</b> make honey?</query></topic></topics>\n",
        '<inex_topic topic_id="1"><title>who wrote Emma?</title></inex_topic>\n'
        '<inex_topic topic_id="2"><title>how do bees make honey?</title></inex_topic>\n',
    ],
)
def test_each_dialect_reads_the_same(text: str) -> None:
    assert list(read_queries(text)) == EXPECTED


def test_signs_that_are_no_tags_are_text() -> None:
    text = '<topic number="1"><query>AT&amp;T &lt;b&gt; &#233; p < 0.05 &copy x</query></topic>\n'
    assert list(read_queries(text)) == [Query("1", "AT&T <b> é p < 0.05 &copy x")]
    assert list(read_queries("<top>\n<num> 007\n<title> R&D, if a < b\n<desc> x\n</top>\n")) == [Query("007", "R&D, if a < b")]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("<topics>\n<topic number='1'><query>a</query></topic>\n<topic number='2'><query>b</query>\n", 3, "</topic> is missing"),
        ("<topics>\n<topic number='1'><query>a</query>\n<topic number='2'><query>b</query></topic>\n", 2, "</topic> is missing"),
        ("<topics>\n<topic><query>a</query></topic></topics>\n", 2, "without <num> or a number .it has query."),
        ("<topics>\n\n<topic number='1'><disease>a</disease><gene>b</gene></topic></topics>\n", 3, "it has disease, gene"),
        ("<topics>\n<topic number='1 a'><query>a</query></topic></topics>\n", 2, "'1 a' holds white space"),
        ("<topics>\n<topic number='1'><query>a</query></topic><topic number='1'><query>a</query></topic>\n", 2, "comes twice"),
        ("<top>\n<desc> a field that does not end\n</top>\n", 1, r"without <num> or a number \(it has desc\)"),
        ("<rss><item>a</item></rss>\n", 1, "no topics"),
    ],
)
def test_a_topic_that_cannot_be_read_is_named(text: str, line: int, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        list(read_queries(text))
    assert caught.value.line == line
