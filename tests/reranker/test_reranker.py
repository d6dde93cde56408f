"""Reranker, the object that people import: from plain code, a running loop, several threads; whatever documents are."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from typing import get_overloads

import pytest

from firstrank.reranker import InputError, Passage, Ranking, Request, Reranker, ScorerError
from tests.reranker.fakes import FakeScorer, request

VALUES = ["3", "1", "2"]


@pytest.fixture
def reranker():
    """Scores a document by the number that its text is."""
    with Reranker(FakeScorer()) as made:
        yield made


@pytest.mark.parametrize(
    "documents",
    [
        VALUES,
        [{"text": text} for text in VALUES],
        [{"text": text, "title": None, "more": 1} for text in VALUES],
        [Passage(str(i), text) for i, text in enumerate(VALUES)],
        [VALUES[0], {"text": VALUES[1]}, Passage("2", VALUES[2])],
    ],
)
def test_documents_are_strings_mappings_or_passages(reranker, documents):
    ranking = reranker.rank("query", documents)
    assert [result.docid for result in ranking] == ["0", "2", "1"]
    assert [result.passage.text for result in ranking] == ["3", "2", "1"]
    assert [result.index for result in ranking] == [0, 2, 1]
    assert ranking[0].score > ranking[1].score > ranking[2].score
    assert ranking.score_of("2") == ranking[1].score
    assert [result.rank for result in ranking.top_k(2)] == [1, 2]
    assert len(ranking) == 3


def test_what_a_caller_knows_of_a_document_comes_back_on_its_result(reranker):
    mapping = {"text": "1", "url": "https://example.org", "more": [1, 2]}
    passage = Passage("p", "2", metadata={"url": "elsewhere"})
    for ranking in (reranker.rank("query", ["3", mapping, passage]), next(reranker.rank_many([("query", ["3", mapping, passage])]))):
        assert [result.docid for result in ranking] == ["0", "p", "1"]
        assert ranking[0].metadata == {}
        assert ranking[1].passage is passage
        assert ranking[1].metadata["url"] == "elsewhere"
        assert ranking[2].metadata is mapping
    renamed = reranker.rank("query", [passage], doc_ids=["other"])[0]
    assert (renamed.docid, renamed.metadata) == ("other", {"url": "elsewhere"})


def test_metadata_is_no_part_of_what_a_passage_is():
    plain, known = Passage("d", "text"), Passage("d", "text", metadata={"url": ["not", "hashable"]})
    assert plain == known
    assert hash(plain) == hash(known)
    assert pickle.loads(pickle.dumps(known)).metadata == known.metadata
    assert len(pickle.dumps(plain)) < 120


def test_a_slice_of_a_ranking(reranker):
    ranking = reranker.rank("query", VALUES)
    assert ranking[0:2] == ranking.top_k(2) == ranking.results[:2]
    assert ranking[-1] is ranking.results[2]
    answers = [overload.__annotations__["return"] for overload in get_overloads(Ranking.__getitem__)]
    assert answers == ["Result", "tuple[Result, ...]"]


def test_queries_with_documents_in_place_of_requests(reranker):
    asked = [("one", VALUES), Request("two", (Passage("x", "1"),), "own"), ["three", [{"text": "1", "id": "a"}, {"text": "2", "id": "b"}]]]
    rankings = list(reranker.rank_many(asked))
    assert [ranking.qid for ranking in rankings] == ["0", "own", "2"]
    assert [ranking.query for ranking in rankings] == ["one", "two", "three"]
    assert [result.docid for result in rankings[2]] == ["b", "a"]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("ab", "request 1: is str: give a Request, or a pair of a query and its documents"),
        (("one", VALUES, ["a", "b", "c"]), "request 1: is tuple: give a Request"),
        (({"query": "one"}, VALUES), "request 1: is tuple: give a Request"),
        (("one", "two"), "request 1: documents is one string: give a list"),
        (("one", [1]), "request 1: document 0 is int: give a string"),
        (("one", [{"text": "1", "id": "a"}] * 2), "request 1: two documents have the id 'a'"),
    ],
)
def test_a_request_that_is_none_is_named(reranker, asked, problem):
    with pytest.raises(InputError, match=problem):
        list(reranker.rank_many([("one", VALUES), asked]))


@pytest.mark.parametrize("key", ["docid", "id", "_id"])
def test_documents_have_ids_of_their_own_unless_others_are_given(reranker, key):
    documents = [{"text": text, key: f"own{text}"} for text in VALUES]
    assert reranker.rank("query", documents)[0].docid == "own3"
    assert reranker.rank("query", documents, doc_ids=["a", "b", "c"])[0].docid == "a"
    with pytest.raises(KeyError):
        reranker.rank("query", documents).score_of("nonesuch")


@pytest.mark.parametrize(
    ("documents", "doc_ids", "problem"),
    [
        ([1, 2], None, "document 0 is int: give a string, a mapping"),
        (["1", {"body": "2"}], None, "document 1 is dict: give a string, a mapping with a string under 'text'"),
        ([{"text": None}], None, "document 0 has no text"),
        (["1", "2"], ["a"], "doc_ids has 1 entries for 2 documents"),
        (["1", "2"], ["a", "a"], "two documents have the id 'a': ids must be distinct"),
        ([{"text": "1", "id": "0"}, {"text": "2", "id": "0"}], None, "two documents have the id '0'"),
    ],
)
def test_documents_that_cannot_be_ranked(reranker, documents, doc_ids, problem):
    with pytest.raises(InputError, match=problem):
        reranker.rank("query", documents, doc_ids)


def test_no_documents_give_an_empty_ranking_and_one_is_ranked_like_any_other(reranker):
    assert len(reranker.rank("query", [])) == 0
    assert len(reranker.rank("query", [], top_k=3)) == 0
    assert reranker.rank("query", ["1"])[0].score == 0.5


def test_top_k(reranker):
    assert [result.docid for result in reranker.rank("query", VALUES, top_k=2)] == ["0", "2"]
    assert len(reranker.rank("query", VALUES, top_k=10)) == 3
    with pytest.raises(InputError, match="top_k=0: must be at least 1"):
        reranker.rank("query", VALUES, top_k=0)


def test_plain_calls_work_inside_a_running_loop(reranker):
    async def notebook():
        return reranker.rank("query", VALUES), list(reranker.rank_many([request(3), request(4, "r")]))

    ranking, rankings = asyncio.run(notebook())
    assert ranking[0].docid == "0"
    assert [len(one) for one in rankings] == [3, 4]


def test_calls_can_be_awaited_from_any_loop(reranker):
    async def several():
        return await asyncio.gather(*(reranker.rank_async("query", [str(i), "5"]) for i in range(10)))

    for _ in range(2):
        assert [ranking[0].passage.text for ranking in asyncio.run(several())] == ["5"] * 6 + ["6", "7", "8", "9"]


def test_cancelling_an_awaited_call_takes_its_windows_back():
    started, gate = threading.Event(), threading.Event()

    def hook(qid, texts):
        started.set()
        gate.wait(5)

    scorer = FakeScorer(hook=hook, max_windows=1)

    async def leave():
        first = asyncio.ensure_future(reranker.rank_async("query", VALUES))
        await asyncio.to_thread(started.wait, 5)
        second = asyncio.ensure_future(reranker.rank_async("query", VALUES))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.set()
        await first

    with Reranker(scorer) as reranker:
        asyncio.run(leave())
    assert scorer.batches == [1]
    assert scorer.open_sessions == 0


def test_several_threads_share_one_reranker():
    scorer = FakeScorer(seconds=0.02)
    found = {}

    def call(i):
        found[i] = reranker.rank("query", [str(i), "10"], qid=str(i))

    with Reranker(scorer) as reranker:
        threads = [threading.Thread(target=call, args=(i,)) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(found[i][0].passage.text == str(max(i, 10)) for i in range(20))
    assert len(scorer.batches) < 20


def test_many_requests_come_in_order_and_are_read_as_they_are_needed(reranker):
    read = []

    def source():
        for i in range(10_000):
            read.append(i)
            yield request(2, str(i))

    rankings = reranker.rank_many(source())
    assert [next(rankings).qid for _ in range(3)] == ["0", "1", "2"]
    rankings.close()
    assert len(read) < 2000


def test_the_first_failure_of_many_is_raised(reranker):
    broken = Request("query", (Passage("a", "nan"), Passage("b", "1")), "broken")
    rankings = reranker.rank_many([request(2, "fine"), broken])
    assert next(rankings).qid == "fine"
    with pytest.raises(ScorerError, match="one finite number per candidate"):
        next(rankings)


def test_a_query_longer_than_the_context_is_a_sentence(tiny_model):
    with Reranker(str(tiny_model), device="cpu") as reranker, pytest.raises(InputError, match="leaves no room for a passage"):
        reranker.rank("why " * 9000, ["a", "b"])


def test_more_documents_than_labels_cannot_be_one_window(tiny_model):
    problem = "of these 150 candidates in a window; use depth"
    with Reranker(str(tiny_model), device="cpu", strategy="full") as reranker, pytest.raises(InputError, match=problem):
        reranker.rank("query", [f"text {i}" for i in range(150)])


def test_closing_twice_is_closing_once_and_forgetting_it_harms_nothing():
    reranker = Reranker(FakeScorer())
    reranker.rank("query", VALUES)
    reranker.close()
    reranker.close()
    forgotten = Reranker(FakeScorer())
    forgotten.rank("query", VALUES)
    del forgotten
    gc.collect()


def test_a_closed_reranker_says_so_and_leaves_nothing_unawaited(recwarn):
    reranker = Reranker(FakeScorer())
    reranker.close()
    with pytest.raises(InputError, match="this Reranker is closed"):
        reranker.rank("query", VALUES)
    with pytest.raises(InputError, match="this Reranker is closed"):
        asyncio.run(reranker.rank_async("query", VALUES))
    with pytest.raises(InputError, match="this Reranker is closed"):
        list(reranker.rank_many([request(2)]))
    gc.collect()
    assert [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)] == []


def test_a_schedule_completes_itself_from_the_model(tiny_model, tmp_path):
    for file in tiny_model.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "firstrank.yaml").write_text("window: 8\nstride: 4\npasses: 2\n")
    with Reranker(str(tmp_path), device="cpu") as reranker:
        assert (reranker.schedule.window, reranker.schedule.stride, reranker.schedule.passes) == (8, 4, 2)
    with Reranker(str(tmp_path), device="cpu", window=4) as reranker:
        assert (reranker.schedule.window, reranker.schedule.stride) == (4, 2)
    with Reranker(FakeScorer()) as reranker:
        ranking = reranker.rank("query", list(map(str, range(40))))
    assert [len(window.docids) for window in ranking.trace.windows] == [20, 20, 20]
