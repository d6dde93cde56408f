"""Builders of examples, from what there is; what they drop is counted and named."""

from __future__ import annotations

import json

import pytest

from firstrank.reranker import Reranker
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.scorers.oracle import OracleScorer
from firstrank.reranker.types import Passage, Request
from firstrank.training.data import teacher
from firstrank.training.data.build import check, from_rankllm, write_examples
from firstrank.training.data.conversations import from_conversations
from firstrank.training.data.judged import Bands, from_qrels
from firstrank.training.data.selection import Selection


class Shelf:
    """Texts for every docid but those that it lacks."""

    def __init__(self, *lacking: str) -> None:
        self._lacking = lacking

    def get(self, docids):
        return {docid: Passage(docid, f"text {docid}") for docid in docids if docid not in self._lacking}

    def close(self) -> None: ...


RUN = read_run("".join(f"{qid} Q0 d{i} {i} {100 - i} bm25\n" for qid in ("q1", "q2", "q3", "q4") for i in range(1, 61)))
QRELS = read_qrels("q1 0 d5 3\nq1 0 d40 1\nq1 0 far 2\nq1 0 d7 0\nq2 0 gone 1\nq4 0 d1 1\n")
QUERIES = {"q1": "one", "q2": "two", "q3": "three"}


def built(settings: Bands) -> tuple[list, Selection]:
    selection = Selection()
    return list(from_qrels(RUN, QRELS, QUERIES, Shelf("gone"), settings, selection)), selection


def test_qrels_and_run_with_rank_bands():
    found, selection = built(Bands(size=10, bands=((1, 10), (21, 30)), windows=2))
    assert [example.qid for example in found] == ["q1", "q1"]
    for example in found:
        grades = dict(zip([p.docid for p in example.passages], example.grades, strict=True))
        assert {docid: grade for docid, grade in grades.items() if grade} == {"d5": 3.0, "d40": 1.0, "far": 2.0}
        ranks = sorted(int(docid[1:]) for docid, grade in grades.items() if not grade)
        assert (sum(1 <= rank <= 10 for rank in ranks), sum(21 <= rank <= 30 for rank in ranks)) == (4, 3)
        assert [p.docid for p in example.passages][-1] == "far"  # the run lacks it
        assert [int(p.docid[1:]) for p in example.passages[:-1]] == sorted(int(p.docid[1:]) for p in example.passages[:-1])
    assert found[0] != found[1]
    reasons = selection.report()["reasons"]
    assert {why: counted["first"] for why, counted in reasons.items()} == {
        "no relevant passage has a text": ["q2"],
        "the query is not judged": ["q3"],
        "the query has no text": ["q4"],
    }


def test_the_same_seed_builds_the_same():
    assert built(Bands(shuffled=True))[0] == built(Bands(shuffled=True))[0]
    assert built(Bands(shuffled=True))[0] != built(Bands(shuffled=True, seed=1))[0]


PROMPT = (
    "I will provide you with 3 passages, each indicated by a alphabetical identifier []. Rank the passages.\n\n"
    "[A] bees make\nhoney\n[B] Austen wrote [A] Emma\n[C] rain\nSearch Query: who wrote Emma?.\nRank the 3 passages above."
)


def said(answer: str, prompt: str = PROMPT) -> str:
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return json.dumps({"id": "x", "conversations": turns}) + "\n"


def test_conversations_with_letters_and_numbers():
    numbers = PROMPT.replace("\n[A]", "\n[1]").replace("\n[B]", "\n[2]").replace("\n[C]", "\n[3]")
    parsed = json.dumps({"qid": "y", "query": "q", "passages": ["a", "b"], "permutation": [2, 1]}) + "\n"
    selection = Selection()
    letters, digits, given = from_conversations(said("[B] > [A] > [C]") + said("[3] > [2] > [1]", numbers) + parsed, selection)
    assert letters.query == "who wrote Emma?"
    assert [passage.text for passage in letters.passages] == ["bees make\nhoney", "Austen wrote [A] Emma", "rain"]
    assert letters.grades == (1.5, 3.0, 0.0)
    assert digits.grades == (0.0, 1.5, 3.0)
    assert given.grades == (0.0, 3.0)
    assert selection.dropped == 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (said("[B] > [A]"), "the answer leaves passages out"),
        (said("[B] > [A] > [Z] > [C]"), "the answer has a label that no passage has"),
        (said("[B] > [A] > [C] > [B]"), "the answer has a label twice"),
        (said("[A]", "no query"), "the prompt has no line 'Search Query: …'"),
        ('{"conversations": 3}\n', "neither 'conversations' nor 'permutation'"),
        ('{"query": "q", "passages": ["a", "b"], "permutation": [1, 1]}\n', "'permutation' does not hold each passage once"),
    ],
)
def test_conversations_that_cannot_be_read_are_counted(line, why):
    selection = Selection()
    assert list(from_conversations(line, selection)) == []
    assert selection.report()["reasons"] == {why: {"count": 1, "first": ["line 1"]}}


def test_the_real_sample_of_conversations(data, tmp_path):
    selection = Selection()
    write_examples(tmp_path / "out.jsonl", from_conversations(data / "listwise-rankzephyr-100/train.jsonl", selection), selection)
    assert (selection.kept, selection.dropped) == (100, 0)
    report = check(tmp_path / "out.jsonl")
    assert (report["examples"], report["passages"], report["errors"]) == (100, 1297, [])


def request(n: int) -> Request:
    return Request("query", tuple(Passage(f"d{i}", "text") for i in range(n)), "q")


def test_a_teachers_complete_list_is_sorted_to_its_end():
    grades = {"q": {f"d{i}": i for i in range(60)}}
    with Reranker(OracleScorer(grades), strategy="sliding", window=20, stride=10) as reranker:
        [one_pass] = teacher.once(reranker, [request(60)], Selection())
        [complete] = teacher.complete(reranker, [request(60)], Selection())
        unsettled = Selection()
        assert list(teacher.complete(reranker, [request(60)], unsettled, most=2)) == []
    best_first = tuple(f"d{i}" for i in reversed(range(60)))
    assert one_pass.docids[:10] == best_first[:10]
    assert one_pass.docids != best_first
    assert complete.docids == best_first
    assert complete.passes > 2
    assert unsettled.report()["reasons"] == {"not stable after 2 passes": {"count": 1, "first": ["q"]}}
    [example] = teacher.examples([complete], Selection())
    assert example.passages == request(60).passages
    assert example.grades == pytest.approx([3.0 * i / 59 for i in range(60)])


def test_a_run_that_a_teacher_wrote():
    run = read_run("q Q0 d2 1 9 t\nq Q0 d0 2 8 t\n")
    selection = Selection()
    [example] = teacher.examples(teacher.from_run(run, [request(3), Request("other", (), "p")], selection), selection)
    assert {p.docid: g for p, g in zip(example.passages, example.grades, strict=True)} == {"d0": 0.0, "d2": 3.0}
    assert selection.report()["reasons"] == {"the teacher's run lacks the query": {"count": 1, "first": ["p"]}}


def candidates(*docids: str) -> str:
    listed = [{"docid": docid, "score": -float(i), "doc": {"text": docid}} for i, docid in enumerate(docids)]
    return json.dumps({"query": {"text": "q", "qid": "1"}, "candidates": listed}) + "\n"


def test_rankllms_results_with_and_without_its_requests():
    [listed] = from_rankllm(candidates("c", "a", "b"), candidates("a", "b", "c", "d"), Selection())
    assert ([p.docid for p in listed.request.passages], listed.docids) == (["a", "b", "c"], ("c", "a", "b"))
    [alone] = from_rankllm(candidates("c", "a", "b"), None, Selection())
    assert sorted(p.docid for p in alone.request.passages) == ["a", "b", "c"]
    assert alone.docids == ("c", "a", "b")


def test_nothing_built_is_an_error_that_says_why(tmp_path):
    selection = Selection()
    selection.drop("the query is not judged", "q")
    with pytest.raises(InputError, match=r"no example was built: the query is not judged \(1\)"):
        write_examples(tmp_path / "out.jsonl", iter(()), selection)
    assert not (tmp_path / "out.jsonl").exists()


def test_check_counts_and_names_what_is_wrong(tmp_path):
    passages = [{"docid": "a", "text": "one two"}, {"docid": "b", "text": ""}]
    good, flat = ({"qid": "1", "query": "q", "passages": passages, "grades": grades} for grades in ({"a": 1}, {}))
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (good, flat, {"qid": "2"})))
    report = check(path)
    assert (report["examples"], report["queries"], report["passages"], report["empty passages"]) == (2, 1, 4, 2)
    assert report["warnings"] == {"nothing is better than anything else": {"count": 1, "first": [f"{path}:2"]}}
    assert len(report["errors"]) == 1
    assert report["errors"][0].startswith(f"{path}:3: ")
