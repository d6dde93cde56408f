"""Documents, ids and queries as people have them: lists, arrays, generators, data frames; nothing is guessed."""

from __future__ import annotations

import logging
from uuid import UUID

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.documents import query_of, request_of
from firstrank.reranker.types import Passage, Request
from tests.reranker.fakes import FakeScorer

NAN = float("nan")
TEXTS = ["Bees make honey.", "Jane Austen wrote Emma."]


class Labelled:
    """Like a pandas Series whose rows were sorted or dropped: indexed by labels, iterated by places."""

    def __init__(self, **values):
        self._values = {int(label[1:]): value for label, value in values.items()}

    def __getitem__(self, label):
        return self._values[label]

    def __iter__(self):
        return iter(self._values.values())

    def __len__(self):
        return len(self._values)


class NAType:
    """Like pandas.NA: not even equal to itself, and neither true nor false."""

    def __ne__(self, other):
        return self

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


def docids(*arguments, **named):
    return [passage.docid for passage in request_of("q", *arguments, **named).passages]


@pytest.mark.parametrize(
    "documents",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        Labelled(_7=TEXTS[0], _3=TEXTS[1]),
        {"a": TEXTS[0], "b": TEXTS[1]}.values(),
        dict.fromkeys(TEXTS).keys(),
        map(str, TEXTS),
    ],
)
def test_any_ordered_collection_of_texts_is_read_by_place(documents):
    request = request_of("q", documents)
    assert [(passage.docid, passage.text) for passage in request.passages] == [("0", TEXTS[0]), ("1", TEXTS[1])]
    assert {type(passage.text) for passage in request.passages} == {str}


@pytest.mark.parametrize(
    "doc_ids",
    [
        ["7", "3"],
        [7, 3],
        np.array([7, 3]),
        np.array(["7", "3"]),
        np.array([7, 3], dtype=np.uint8),
        Labelled(_1="7", _0="3"),
        Labelled(_5=np.int64(7), _6=3),
        iter("73"),
    ],
)
def test_ids_are_strings_or_whole_numbers_by_place(doc_ids):
    assert docids(TEXTS, doc_ids) == ["7", "3"]


def test_other_ids():
    name = UUID("12345678-1234-5678-1234-567812345678")
    assert docids(TEXTS, [name, "007"]) == [str(name), "007"]
    assert docids([{"docno": 5, "text": "a"}, {"doc_id": "x", "text": "b"}]) == ["5", "x"]
    assert request_of("q", TEXTS, qid=np.int64(51)).qid == "51"


@pytest.mark.parametrize("missing", [None, NAN, np.nan, np.float32("nan"), np.datetime64("NaT"), NAType()])
def test_a_missing_value_is_not_a_word(missing):
    with pytest.raises(InputError, match="document 1 has no text"):
        request_of("q", ["a", missing])
    with pytest.raises(InputError, match="document 0 has no text"):
        request_of("q", [{"text": missing}])
    with pytest.raises(InputError, match=r"doc_ids\[1\] is missing"):
        request_of("q", TEXTS, ["a", missing])
    with pytest.raises(InputError, match="the id of document 0 is missing"):
        request_of("q", [{"id": missing, "text": "a"}])
    with pytest.raises(InputError, match=r"the query is missing"):
        request_of(missing, TEXTS)
    with pytest.raises(InputError, match="qid is missing"):
        request_of("q", TEXTS, qid=missing)
    assert request_of("q", [{"title": missing, "text": "a"}]).passages[0].title == ""


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        ("Jane Austen", "documents is one string: give a list"),
        (np.str_("Jane Austen"), "documents is one string"),
        (b"Jane Austen", "documents is one string"),
        ({"text": "a"}, "documents is one dict"),
        ({"d1": "a", "d2": "b"}, "documents is one dict"),
        (Passage("a", "b"), "documents is one Passage"),
        ({"a", "b"}, "documents is a set, which has no order"),
        (frozenset("ab"), "no order"),
        (5, "documents is int 5"),
        (None, "documents is missing"),
        (np.array("Jane Austen"), "documents is ndarray"),
        ([b"Jane"], "document 0 is bytes"),
        (np.array([["a", "b"]]), "document 0 is ndarray"),
        ([{"text": "a", "title": 5}], "the title of document 0 is int 5"),
        ([{"text": "a", "id": True}], "the id of document 0 is bool True"),
        ([Passage("a", None)], "passage 0 is no Passage of strings"),
        ([Passage(1, "a")], "passage 0 is no Passage of strings"),
    ],
)
def test_what_is_no_list_of_documents(documents, problem):
    with pytest.raises(InputError, match=problem):
        request_of("q", documents)


@pytest.mark.parametrize(
    ("doc_ids", "problem"),
    [
        ("ab", "doc_ids is one string"),
        ({"a", "b"}, "doc_ids is a set"),
        ([1.0, 2.0], "missing values turns whole numbers into these"),
        (np.array([1.0, 2.0]), "missing values turns"),
        ([["a"], ["b"]], "is list"),
        ([True, False], "is bool"),
        ((i for i in "abc"), "3 entries for 2 documents"),
    ],
)
def test_what_is_no_list_of_ids(doc_ids, problem):
    with pytest.raises(InputError, match=problem):
        request_of("q", TEXTS, doc_ids)


@pytest.mark.parametrize("query", [["who?"], 5, b"who?", ("who?",), {"query": "who?"}])
def test_a_query_is_a_string(query):
    with pytest.raises(InputError, match=r"the query is .*: give a string"):
        request_of(query, TEXTS)


@pytest.mark.parametrize("query", ["", "   ", "\n\t", "\u3000"])
def test_a_query_that_asks_for_nothing_is_warned_of(query, caplog):
    with caplog.at_level(logging.WARNING):
        assert request_of(query, TEXTS).query == query
    assert "the query is empty" in caplog.text


def test_half_an_emoji_is_replaced():
    request = request_of("caf\ud83d", ["a\udc00", {"text": "\ud83d", "title": "\ud800t", "id": "x\ud83d"}])
    assert request.query == "caf\ufffd"
    assert [(passage.docid, passage.title, passage.text) for passage in request.passages] == [
        ("0", "", "a\ufffd"),
        ("x\ufffd", "\ufffdt", "\ufffd"),
    ]


@pytest.mark.parametrize("top_k", ["2", 2.0, 0, -1, True, NAN])
def test_top_k_is_checked_before_the_model_works(top_k):
    scorer = FakeScorer()
    with Reranker(scorer) as reranker, pytest.raises(InputError, match=r"top_k=.*must be at least 1"):
        reranker.rank("q", ["1", "2", "3"], top_k=top_k)
    with Reranker(FakeScorer()) as reranker:
        assert len(reranker.rank("q", ["1", "2", "3"], top_k=np.int64(2))) == 2


def test_requests_made_by_hand():
    passages = [Passage("a", "1"), Passage("b", "2")]
    with Reranker(FakeScorer()) as reranker:
        [ranking] = reranker.rank_many([Request("q", passages, "1")])
        assert [result.docid for result in ranking] == ["b", "a"]
        for wrong in (Request("q", tuple(passages)), "q", 5):
            with pytest.raises(InputError, match="requests is one"):
                list(reranker.rank_many(wrong))
        with pytest.raises(InputError, match="request 0: "):
            list(reranker.rank_many([("q", passages, "x")]))
    for query, given, qid, problem in (
        (None, (), "", "query and qid are strings"),
        ("q", (), 1, "query and qid are strings"),
        ("q", "ab", "", "the passages are str"),
        ("q", ("a",), "", "passage 0 is no Passage"),
        ("q", (Passage("a", NAN),), "", "passage 0 is no Passage"),
    ):
        with pytest.raises(InputError, match=problem):
            Request(query, given, qid)


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"docno": [5, 6, 7], "text": ["a", "b", "c"], "title": ["t", None, NAN]}).iloc[[2, 0]]
    assert docids(frame) == ["7", "5"]
    assert [passage.title for passage in request_of("q", frame).passages] == ["", "t"]
    assert docids(frame["text"], frame["docno"]) == ["7", "5"]
    assert docids(frame["text"], frame.index) == ["2", "0"]
    holes = pandas.DataFrame({"docno": [5, None], "text": ["a", pandas.NA]})
    with pytest.raises(InputError, match="document 1 has no text"):
        request_of("q", holes["text"])
    with pytest.raises(InputError, match="missing values turns whole numbers"):
        request_of("q", ["a", "b"], holes["docno"])
    with pytest.raises(InputError, match="missing"):
        request_of("q", ["a", "b"], holes["docno"].astype("Int64"))
    with pytest.raises(InputError, match="doc_ids is a DataFrame: give one of its columns"):
        request_of("q", ["a", "b"], holes)


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"id": [7, 5], "text": ["a", "b"]})
    assert docids(frame) == docids(frame["text"], frame["id"]) == ["7", "5"]
    with pytest.raises(InputError, match="has no text"):
        request_of("q", polars.Series(["a", None]))


def test_a_value_is_shown_in_a_message_where_it_is_short() -> None:
    for length, said in ((36, f"the query is list {['x' * 36]!r}: give a string"), (37, "the query is list: give a string")):
        with pytest.raises(InputError) as caught:
            query_of(["x" * length])
        assert str(caught.value) == said
