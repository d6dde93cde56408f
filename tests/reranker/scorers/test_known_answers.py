"""Obvious answers: the default finds them, with a scrambled template it does not, and a command says so."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.known_answers import Findings, check_known_answers, known_windows, require
from firstrank.reranker.types import Scores

SCRAMBLED = """
template:
  system: passages. the by to Rank relevance query the
  before: "\\n"
  passage: "[{label}] {text} "
  after: "{query}<|im_end|>"
  answer: "("
passage_tokens: 48
context: 8192
"""


class Places:
    """A scorer that always likes the same place, or the answer's."""

    name, concurrency = "places", 4

    def __init__(self, right, mass=None):
        self._right, self._mass = right, mass
        self._answer = {request.qid: place for request, place in known_windows()}

    def open(self, request):
        self.max_window, self.lengths = len(request.passages), (1,) * len(request.passages)
        place = self._answer.get(request.qid, 0) if self._right else 2
        return Window(place, self._mass)

    def close(self): ...


class Window:
    max_window, lengths = 6, (1,) * 6

    def __init__(self, place, mass):
        self._place, self._mass = place, mass

    async def score(self, indices):
        return Scores(tuple(float(i == self._place) for i in indices), label_mass=self._mass)

    def close(self): ...


def test_the_answer_is_in_every_place_twice_and_in_its_window_once():
    windows = known_windows()
    assert Counter(place for _, place in windows) == dict.fromkeys(range(6), 2)
    answers = [request.passages[place].text for request, place in windows]
    assert len(set(answers)) == 12
    for request, place in windows:
        texts = [passage.text for passage in request.passages]
        assert len(set(texts)) == 6
        assert texts.index(answers[windows.index((request, place))]) == place


def test_what_is_reported():
    found = asyncio.run(check_known_answers(Places(right=True, mass=0.9)))
    assert (found.accuracy, found.position_bias, found.label_mass, found.passed) == (1.0, 0.0, pytest.approx(0.9), True)
    stuck = asyncio.run(check_known_answers(Places(right=False)))
    assert (stuck.right, stuck.chosen, stuck.label_mass, stuck.passed) == (2, (0, 0, 12, 0, 0, 0), None, False)
    assert stuck.position_bias == pytest.approx(5 / 6)
    with pytest.raises(ModelError, match=r"model 'x': 2 of 12 obvious answers found, position bias 0\.83; at least 50% are expected"):
        require(stuck, "x")


def findings(name) -> Findings:
    scorer, _ = open_scorer(name, device="cpu", threads=1)
    try:
        return asyncio.run(check_known_answers(scorer))
    finally:
        scorer.close()


def test_the_default_model_is_accepted_and_refused_with_a_scrambled_template(tmp_path):
    found = findings("first-smollm2")
    print("default:", found)
    require(found, "first-smollm2")
    assert 0 < found.label_mass <= 1
    folder = shutil.copytree(load_model("first-smollm2").path, tmp_path / "scrambled", copy_function=shutil.copyfile)
    (folder / "firstrank.yaml").write_text(SCRAMBLED)
    scrambled = findings(str(folder))
    print("scrambled:", scrambled)
    with pytest.raises(ModelError, match="obvious answers found"):
        require(scrambled, "scrambled")
