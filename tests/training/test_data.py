"""Builders of examples, from what there is; what they drop is counted and named."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType

import pytest

from firstrank.reranker import Reranker
from firstrank.reranker.batch.journal import open_journal
from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.scorers.oracle import OracleScorer
from firstrank.reranker.types import Passage, Request
from firstrank.training.data import teacher
from firstrank.training.data.build import check, from_rankllm, write_examples
from firstrank.training.data.conversations import from_conversations, rows_of
from firstrank.training.data.judged import Bands, from_qrels
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import Examples


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
    letters, digits, given = from_conversations(rows_of(said("[B] > [A] > [C]") + said("[3] > [2] > [1]", numbers) + parsed), selection)
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
    assert list(from_conversations(rows_of(line), selection)) == []
    assert selection.report()["reasons"] == {why: {"count": 1, "first": ["line 1"]}}


def test_the_real_sample_of_conversations(data, tmp_path):
    selection = Selection()
    write_examples(tmp_path / "out.jsonl", from_conversations(rows_of(data / "listwise-rankzephyr-100/train.jsonl"), selection), selection)
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


def test_training_and_check_agree_on_empty_lines_and_empty_files(tmp_path):
    path, good = tmp_path / "x.jsonl", {"qid": "1", "query": "q", "passages": [{"docid": "a", "text": "t"}], "grades": {"a": 1}}
    for text in ("", "\n", json.dumps(good) + "\n\n" + json.dumps(good), "\ufeff" + json.dumps(good), json.dumps(good)[:-3]):
        path.write_text(text, encoding="utf-8")
        if errors := check(path)["errors"]:
            with pytest.raises(FormatError, match=re.escape(errors[0])):
                Examples([path])
        else:
            assert check(path)["examples"] == len(Examples([path]))
    path.write_bytes(b"\x1f\x8b00")
    assert "unpack it first" in check(path)["errors"][0]


def test_a_graded_list_without_a_zero_is_kept():
    """All that the run found is relevant: the lesser grades are the negatives of the greater."""
    run = read_run("".join(f"q1 Q0 d{i} {i} {10 - i} bm25\n" for i in range(1, 5)))
    selection, queries = Selection(), {"q1": "one"}
    [example] = from_qrels(
        run, read_qrels("q1 0 d1 1\nq1 0 d2 3\nq1 0 d3 2\nq1 0 d4 1\n"), {"q1": "one"}, Shelf(), Bands(size=4), selection
    )
    assert {p.docid: g for p, g in zip(example.passages, example.grades, strict=True)} == {"d1": 1.0, "d2": 3.0, "d3": 2.0, "d4": 1.0}
    assert list(from_qrels(run, read_qrels("q1 0 d1 2\nq1 0 d2 2\nq1 0 d3 2\nq1 0 d4 2\n"), queries, Shelf(), Bands(), selection)) == []


def test_negatives_that_score_near_a_relevant_passage_are_left_out():
    """d5 scores 95: of the 50 below rank 5, only those below 0.9 · 95 = 85.5 are sure."""
    [example] = from_qrels(RUN, read_qrels("q1 0 d5 1\n"), QUERIES, Shelf(), Bands(size=20, bands=((1, 60),), share=0.9), Selection())
    negatives = [int(p.docid[1:]) for p, g in zip(example.passages, example.grades, strict=True) if not g]
    assert len(negatives) == 19
    assert min(negatives) > 100 - 85.5


def test_a_teacher_is_not_asked_twice_and_its_scores_are_kept(tmp_path):
    grades = {f"q{i}": {f"d{j}": (i + j) % 5 for j in range(5)} for i in range(4)}
    requests = [Request("query", request(5).passages, qid) for qid in grades]
    asked: list[str] = []

    def taught(waiting):
        with Reranker(OracleScorer(grades), strategy="sliding", window=5, stride=2) as reranker:
            for one in teacher.once(reranker, waiting, Selection()):
                asked.append(one.request.qid)
                yield one
                if stop and len(asked) == 2:
                    raise KeyboardInterrupt

    stop = True
    with pytest.raises(KeyboardInterrupt), open_journal(tmp_path / "out.jsonl", {"a": "b"}) as journal:
        list(teacher.remembered(taught, requests, journal))
    stop = False
    with open_journal(tmp_path / "out.jsonl", {"a": "b"}) as journal:
        found = list(teacher.examples(teacher.remembered(taught, requests, journal), Selection()))
    assert sorted(asked) == sorted(grades)
    assert [example.qid for example in found] == list(grades)
    assert all(sorted(example.scores) != sorted(example.grades) for example in found)
    for example in found:
        assert sorted(range(5), key=lambda i: example.scores[i]) == sorted(range(5), key=lambda i: example.grades[i])
    path = tmp_path / "out.jsonl"
    write_examples(path, found, Selection())
    assert list(Examples([path])) == found


def test_a_data_set_s_rows_are_read_by_its_id(monkeypatch):
    rows = [json.loads(said("[B] > [A] > [C]"))]
    module = ModuleType("datasets")
    module.load_dataset = lambda name, split: rows if (name, split) == ("castorini/some", "test") else 1 / 0
    monkeypatch.setitem(sys.modules, "datasets", module)
    [example] = from_conversations(rows_of("datasets:castorini/some:test"), Selection())
    assert example.grades == (1.5, 3.0, 0.0)
    with pytest.raises(InputError, match="datasets:castorini/none: cannot be had: division by zero"):
        list(rows_of("datasets:castorini/none"))
