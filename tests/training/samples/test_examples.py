"""Examples: read strictly, drawn by chance that is the run's own."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.types import Passage
from firstrank.training.samples.draw import Drawn, Shuffle, draw, extent_of
from firstrank.training.samples.examples import Example, Examples, as_json
from firstrank.training.sections import Draw

GOOD = {"qid": "1", "query": "q", "passages": [{"docid": "a", "text": "x"}, {"docid": "b", "text": "y", "title": "t"}]}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ranking": ["a", "z"]}, "'ranking' names 'z', which is not among the passages"),
        ({"grades": {"z": 1}}, "'grades' names 'z', which is not among the passages"),
        ({"ranking": ["a"]}, "'ranking' leaves out 1 passages, 'b' first"),
        ({"ranking": ["a", "b", "a"]}, "'ranking' has a docid twice"),
        ({"ranking": "ab"}, "'ranking' must be a list of docids"),
        ({"grades": {"a": "high"}}, "the grade of 'a' is 'high', not a finite number"),
        ({"grades": {"a": float("nan")}}, "the grade of 'a' is nan"),
        ({"grades": [1, 2]}, "'grades' must map docids to numbers"),
        ({}, "give either 'ranking' or 'grades'"),
        ({"grades": {"a": 1}, "ranking": ["a", "b"]}, "give either 'ranking' or 'grades'"),
        ({"passages": [], "grades": {}}, "'passages' must be a list of at least one"),
        ({"passages": [{"docid": "a"}], "grades": {}}, "no text"),
        ({"passages": [{"docid": "a", "text": "x"}] * 2, "grades": {}}, "docid 'a' is there twice"),
        ({"query": 3, "grades": {}}, "'query' must be a string"),
    ],
)
def test_a_bad_example_is_named_with_file_and_line(tmp_path, change, complaint):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(GOOD | {"ranking": ["a", "b"]}) + "\n" + json.dumps(GOOD | change) + "\n")
    with pytest.raises(FormatError, match=complaint) as caught:
        Examples([path])
    assert str(caught.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "not valid JSON"),
        (b"\n", "no examples"),
        (b"", "no examples"),
        (b"\x1f\x8b00", "unpack it first"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_a_file_that_holds_none_is_refused(tmp_path, content, complaint):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=complaint):
        Examples([path])


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match=r"nowhere.jsonl: cannot be read"):
        Examples(["nowhere.jsonl"])


def test_files_are_read_at_random_and_pickle(tmp_path):
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for file, qids in zip(files, (["1", "2"], ["3"]), strict=True):
        file.write_text("".join(json.dumps(GOOD | {"qid": qid, "query": "é" * int(qid), "grades": {"b": 2}}) + "\n" for qid in qids))
    examples = pickle.loads(pickle.dumps(Examples(files)))
    assert [examples[i].qid for i in (2, 0, 1)] == ["3", "1", "2"]
    assert examples.where(2) == f"{files[1]}:1"
    assert examples[1].grades == (0.0, 2.0)
    assert examples.sizes == [2, 1]
    assert json.loads(json.dumps(as_json(examples[0]))) == GOOD | {"query": "é", "grades": {"b": 2.0}}


def test_a_ranking_becomes_grades_from_3_to_0(tmp_path):
    passages = [{"docid": d, "text": d} for d in "abcd"]
    path = tmp_path / "one.jsonl"
    path.write_text("\n" + json.dumps({"qid": 1, "query": "q", "passages": passages, "ranking": ["c", "a", "d", "b"]}) + "\n\n")
    [found] = Examples([path])
    assert found.grades == pytest.approx((2.0, 0.0, 3.0, 1.0))


def example(qid: str, grades: list[float]) -> Example:
    return Example(qid, f"query {qid}", tuple(Passage(f"{qid}-{i}", "text") for i in range(len(grades))), tuple(grades))


OTHERS = [example(str(i), [1.0, 0.0, 0.0]) for i in range(20)]


def drawn_of(one: Example, settings: Draw, progress: float, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    return draw(one, OTHERS, settings, extent_of(settings, progress, rng), progress, rng)


def test_a_window_always_has_something_to_tell():
    one = example("x", [0.0] * 18 + [1.0, 2.0])
    for seed in range(50):
        drawn = drawn_of(one, Draw.model_validate({"window": [2, 3]}), 0.5, seed)
        assert len(set(drawn.grades)) > 1
        assert len(drawn.grades) in (2, 3)
        assert [one.grades[place] for place in drawn.places] == list(drawn.grades)


def test_random_negatives_come_from_other_queries():
    settings = Draw.model_validate({"window": [6, 6], "random_negatives": {0: 1.0, 1: 0.0}})
    drawn = drawn_of(OTHERS[0], settings, 0.0, 1)
    own = [passage for passage in drawn.request.passages if passage.docid.startswith("0-")]
    assert len(own) == 1
    assert len(drawn.request.passages) == 6
    assert sorted(drawn.grades) == [0.0] * 5 + [1.0]
    late = drawn_of(OTHERS[0], settings, 1.0, 1)
    assert all(passage.docid.startswith("0-") for passage in late.request.passages)


def test_first_stage_order_and_shuffles_mix():
    one = example("x", [3.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    settings = Draw.model_validate({"first_stage": 0.5, "passage_tokens": [16, 32]})
    drawn = [drawn_of(one, settings, 0.5, seed) for seed in range(200)]
    kept = sum(list(window.places) == sorted(window.places) for window in drawn)
    assert 70 < kept < 130
    assert {window.request.passage_tokens for window in drawn} == set(range(16, 33))


def test_long_windows_have_short_passages():
    settings = Draw.model_validate({"window": [2, 20], "passage_tokens": [16, 128], "tokens": 500})
    shapes = [extent_of(settings, 0.5, np.random.default_rng(seed)) for seed in range(2000)]
    assert all(shape.size * shape.passage_tokens <= 500 or shape.passage_tokens == 16 for shape in shapes)
    assert {shape.size for shape in shapes} == set(range(2, 21))
    assert min(shape.passage_tokens for shape in shapes) == 16
    assert max(shape.passage_tokens for shape in shapes) > 120


def test_every_epoch_is_a_permutation_of_its_own():
    order = Shuffle([50], seed=3)
    first, second = ([order[epoch * 50 + i] for i in range(50)] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first == [Shuffle([50], seed=3)[i] for i in range(50)]


def test_weights_say_how_often_an_epoch_takes_each_example_of_a_file():
    order = Shuffle([10, 40, 4], seed=1, weights=[2.0, 0.25, 1.0])
    assert len(order) == 34
    epochs = [[order[epoch * 34 + i] for i in range(34)] for epoch in (0, 1)]
    for epoch in epochs:
        assert [epoch.count(i) for i in range(10)] == [2] * 10
        assert sum(10 <= i < 50 for i in epoch) == len({i for i in epoch if 10 <= i < 50}) == 10
        assert sorted(i for i in epoch if i >= 50) == [50, 51, 52, 53]
    assert {i for i in epochs[0] if 10 <= i < 50} != {i for i in epochs[1] if 10 <= i < 50}
