"""Grades from teachers that need no judge, and queries made of a corpus."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from firstrank.reranker.cli import main
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage
from firstrank.training.data import invented
from firstrank.training.data.blended import Blend, from_teachers, sampled
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import Examples
from tests.training.test_data import Shelf

RUN = read_run("".join(f"{qid} Q0 d{i} {i} {40 - i} bm25\n" for qid in ("q1", "q2", "q3") for i in range(1, 41)))
QRELS = read_qrels("q1 0 d40 2\nq1 0 far 1\n")
QUERIES = {"q1": "text d7", "q2": "text d30"}


def encode(texts):
    """One dimension a passage's number: a text's cosine with itself is 1, with all others 0."""
    numbers = [int("".join(filter(str.isdigit, text)) or 50) for text in texts]
    return np.eye(64, dtype=np.float32)[numbers]


def built(**settings):
    selection = Selection()
    found = {one.qid: one for one in from_teachers(RUN, QRELS, QUERIES, Shelf(), encode, Blend(**settings), selection)}
    return found, selection


def test_a_blend_of_cosine_first_stage_and_judgments():
    found, selection = built(size=42, bands=((1, 40),), first_stage=0.25)
    one = found["q1"]
    grades = dict(zip([p.docid for p in one.passages], one.grades, strict=True))
    assert grades["d40"] == 3 + 2  # judged
    assert grades["far"] == 3 + 1
    best = 0.75 + 0.25 * (39 - 6) / 39  # of d7, the bi-encoder's choice: places 1 to 40 of the run, 1 the best
    assert grades["d7"] == pytest.approx(3.0, abs=1e-3)
    assert grades["d1"] == pytest.approx(3 * 0.25 / best, abs=2e-3)
    assert grades["d2"] < grades["d1"]
    assert [p.docid for p in one.passages][-1] == "far"  # the run lacks it
    assert selection.report()["reasons"]["fewer than two candidates, or no query text"]["first"] == ["q3"]


def test_candidates_come_from_the_bands_and_do_not_change():
    found, _ = built(size=10, bands=((1, 10), (11, 40)))
    places = [int(passage.docid[1:]) for passage in found["q2"].passages]
    assert places == sorted(places)
    assert sum(place <= 10 for place in places) == 5
    assert len(places) == 10
    assert built(size=10, bands=((1, 10), (11, 40)))[0] == found


def test_some_of_a_runs_queries():
    assert list(sampled(RUN, 2, 0)) == list(sampled(RUN, 2, 0))
    assert len(sampled(RUN, 2, 0)) == 2
    assert sampled(RUN, None, 0) is RUN


CORPUS = [
    Passage(str(i), f"bees make honey and wax {word} {word} hive", "" if i == 2 else f"On {word}")
    for i, word in enumerate(["abc", "abc", "def", "def", "ghi"])
]


def test_titles_ask_for_passages_without_them():
    found = list(invented.titles(CORPUS))
    assert [one.query for one in found] == ["On abc", "On abc", "On def", "On ghi"]
    assert all(not one.passage.title for one in found)


def test_first_sentences_ask_for_the_rest():
    rest = "The copy has the same length as the original one."
    corpus = [
        Passage("long", f"Copy a list of numbers. {rest}", "copy"),
        Passage("one", "Nothing comes after this sentence."),
        Passage("short", "Copy a list of numbers. Too short."),
    ]
    found = list(invented.sentences(corpus))
    assert found == [invented.Invented("sentence-long", "Copy a list of numbers", Passage("long", rest, "copy"))]


def test_only_asked_passages_lose_their_first_sentence(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(f'{{"_id": "{i}", "text": "Sentence number {i} comes first. And this is what the text goes on with."}}\n' for i in range(9))
    )
    assert firstrank("data", "invent", "--corpus", corpus, "--kind", "sentences", "--count", 4, "--output", tmp_path / "made") == 0
    asked = {qid.removeprefix("sentence-") for qid in dict(read_queries(tmp_path / "made"))}
    assert len(asked) == 4
    held = {passage.docid: passage.text for passage in read_passages(tmp_path / "made")}
    assert {docid for docid, text in held.items() if not text.startswith("Sentence")} == asked
    assert len(held) == 9


def test_keywords_are_words_that_others_have_too():
    corpus = [
        Passage(str(i), " ".join(f"{word}{other}" for other in "pqrst")) for i, word in enumerate(["ant", "ant", "bee", "bee", "cow"])
    ]
    found = list(invented.keywords(corpus, 0))
    assert [one.passage.docid for one in found] == ["0", "1", "2", "3"]  # the cow's words are its alone
    for one in found:
        assert 1 <= len(one.query.split()) <= 4
        assert set(one.query.split()) <= set(one.passage.text.split())


def test_an_invented_collection_reads_back(tmp_path):
    made = list(invented.titles(CORPUS))
    invented.write(tmp_path, invented.some(made, 3, 0), [one.passage for one in made])
    assert len(list(read_passages(tmp_path))) == 4
    queries = dict(read_queries(tmp_path))
    assert len(queries) == 3
    assert read_qrels(tmp_path, "train").keys() == queries.keys()


def test_a_corpus_becomes_examples_through_the_commands(tmp_path, monkeypatch):
    from firstrank.reranker.retrievers import dense

    monkeypatch.setattr(dense, "open_encoder", lambda name: lambda texts: np.eye(8, dtype=np.float32)[[len(text) % 8 for text in texts]])
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(f'{{"_id": "{i}", "title": "honey number {i}", "text": "bees make honey number {i}"}}\n' for i in range(30)))
    made, run, examples = tmp_path / "made", tmp_path / "run.trec", tmp_path / "train.jsonl"
    data = ["--queries", made, "--corpus", made, "--qrels", made / "qrels/train.tsv", "--output"]
    assert firstrank("data", "invent", "--corpus", corpus, "--count", 5, "--output", made) == 0
    assert firstrank("retrieve", *data, run) == 0
    assert firstrank("data", "build", "blended", "--run", run, "--size", 6, "--bands", "1-20", *data, examples) == 0
    found = list(Examples([examples]))
    assert len(found) == 5
    for one in found:
        assert len(one.passages) == 6
        assert max(one.grades) == 4  # the passage that lost its title
        assert all(not passage.title for passage in one.passages)


def test_the_bi_encoder_reads_as_many_words_as_it_is_told(tmp_path, monkeypatch):
    from firstrank.reranker.retrievers import dense

    read: list[str] = []

    def encode(texts):
        read.extend(texts)
        return np.eye(8, dtype=np.float32)[[len(text) % 8 for text in texts]]

    monkeypatch.setattr(dense, "open_encoder", lambda name: encode)
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"_id": "{i}", "text": "bees make honey {i}"}}\n' for i in range(5)))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "honey from bees"}\n')
    (tmp_path / "run.trec").write_text("".join(f"q Q0 {i} {i + 1} {5 - i} first\n" for i in range(5)))
    given = ["--run", tmp_path / "run.trec", "--queries", tmp_path / "queries.jsonl", "--corpus", tmp_path, "--bands", "1-5"]
    assert firstrank("data", "build", "blended", *given, "--words", 2, "--output", tmp_path / "train.jsonl") == 0
    assert read == ["bees make"] * 5 + ["honey from bees"]
    assert firstrank("data", "build", "blended", *given, "--words", 0, "--output", tmp_path / "train.jsonl") == 2


@pytest.mark.parametrize("wrong", [["--kind", "poems"], ["--count", "0"], ["--output", "FILE"]])
def test_what_cannot_be_invented_is_refused(tmp_path, wrong):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "1", "title": "a title", "text": "a text"}\n')
    words = ["--corpus", corpus, "--output", tmp_path / "made", *(corpus if word == "FILE" else word for word in wrong)]
    assert firstrank("data", "invent", *words) == 2


def firstrank(*words) -> int:
    """A command's exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["firstrank", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code
