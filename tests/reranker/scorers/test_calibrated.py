"""Probabilities beside scores: the order stays the scorer's, and what is not calibrated says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstrank.reranker.calibration.calibration import Calibration, Holds
from firstrank.reranker.calibration.maps import Map
from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.digests import template_digest, weights_digest
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.calibrated import CalibratedScorer
from firstrank.reranker.scorers.prior import PriorScorer
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.prior import Prior
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Request
from tests.reranker.calibration.logistic import LOGISTIC, sigmoid
from tests.reranker.fakes import FakeScorer, request


def ranked(scorer, asked: Request, strategy: str = "full"):
    async def rank():
        return await Executor(scorer).rank(asked, parse_strategy(strategy))

    return asyncio.run(rank())


def test_order_and_scores_are_those_without():
    plain, with_it = (ranked(scorer, request(30), "sliding") for scorer in (FakeScorer(), CalibratedScorer(FakeScorer(), LOGISTIC)))
    assert [(one.docid, one.raw_score, one.score) for one in with_it] == [(one.docid, one.raw_score, one.score) for one in plain]
    assert [one.probability for one in plain] == [None] * 30
    assert (plain.trace.calibrated, plain.trace.nothing_relevant) == (False, None)
    assert with_it.trace.calibrated
    assert with_it.trace.nothing_relevant == pytest.approx(sigmoid(-29))


def test_where_probabilities_and_the_order_disagree_the_order_stands_and_the_trace_says_how_often():
    asked = replace(request(4, values=[0, 1, 2, 3]), first_stage=(9.0, 1.0, 2.0, 3.0))
    prior = PriorScorer(FakeScorer(), Prior((("first-stage", 1.0),), None, 5.0))
    ranking = ranked(CalibratedScorer(prior, LOGISTIC), asked)
    assert ranking[0].docid == "d0"
    probabilities = [one.probability for one in ranking]
    assert probabilities == sorted(probabilities, reverse=True)
    assert ranking.trace.moved == 3
    assert sum(probabilities) == pytest.approx(sum(map(sigmoid, range(4))), abs=1e-5)


def test_a_request_with_an_instruction_has_no_probabilities():
    ranking = ranked(CalibratedScorer(FakeScorer(), LOGISTIC), replace(request(3), instruction="other"))
    assert not ranking.trace.calibrated


def test_candidates_that_a_prior_leaves_unread_are_judged_by_the_other_map():
    class Encoders(PriorScorer):
        def __init__(self) -> None:
            super().__init__(FakeScorer(), Prior((("first-stage", 1.0),), 2))
            self._sources = {"dense:x": (1.0, lambda asked: np.array([float(one.text) for one in asked.passages]))}

    unread = Map(intercept=-1, weights={"dense:x": 0.5})
    ranking = ranked(CalibratedScorer(Encoders(), LOGISTIC.model_copy(update={"unread": unread})), request(4))
    assert [one.probability for one in ranking] == pytest.approx([sigmoid(3), sigmoid(2), sigmoid(-0.5), sigmoid(-1)], abs=1e-5)


def test_a_cut_by_probability():
    with Reranker(CalibratedScorer(FakeScorer(), LOGISTIC), strategy="full") as reranker:
        assert reranker.calibrated
        assert [one.docid for one in reranker.rank("q", ["2", "-1", "0.5"], min_probability=0.6)] == ["0", "2"]
        assert len(reranker.rank("q", ["2", "-1", "0.5"], top_k=1, min_probability=0.6)) == 1
        assert len(reranker.rank("q", ["-2", "-1"], min_probability=0.5)) == 0
        assert len(reranker.rank("q", ["2", "-1"]).at_least(0.5)) == 1
        for wrong in (1.5, -1, True, "much"):
            with pytest.raises(InputError, match="from 0 to 1"):
                reranker.rank("q", ["1"], min_probability=wrong)


def test_without_a_calibration_a_cut_is_refused():
    with Reranker(FakeScorer(), strategy="full") as reranker:
        assert not reranker.calibrated
        with pytest.raises(InputError, match="needs a calibrated model"):
            reranker.rank("q", ["1", "2"], min_probability=0.5)
        with pytest.raises(InputError, match="needs a calibrated model"):
            reranker.rank("q", ["1", "2"]).at_least(0.5)


@pytest.fixture
def file_of(tiny_model, tmp_path: Path):
    """A calibration of the tiny model, with what is told instead of the truth."""

    def write(**changed: object) -> Path:
        spec, folder = find_model(str(tiny_model))
        truth = {"weights": weights_digest(spec, folder), "template": template_digest(spec), "arithmetic": ("float32",)}
        nothing = Map(intercept=0, weights={"strongest": -1})
        found = Calibration(holds=Holds(**truth | changed), read=Map(intercept=0, weights={"model": 1}), nothing=nothing, cut=0.5)
        found.write(tmp_path / "calibration.yaml")
        return tmp_path / "calibration.yaml"

    return write


def test_a_file_goes_with_the_model_that_it_was_fitted_to(tiny_model, file_of):
    with Reranker(str(tiny_model), device="cpu", threads=1, dtype="float32", calibration=str(file_of())) as reranker:
        assert reranker.calibrated
        assert 0 < reranker.rank("q", ["one", "two"])[0].probability < 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weights": "0123"}, "other weights"),
        ({"template": "0123"}, "another prompt"),
        ({"arithmetic": ("bfloat16",)}, "holds in bfloat16, and this runs in float32"),
    ],
)
def test_a_file_of_another_model_is_refused(tiny_model, file_of, changed, told):
    with pytest.raises(ModelError, match=told):
        Setup.of(str(tiny_model), device="cpu", threads=1, dtype="float32", calibration=str(file_of(**changed))).open_scorer()


def test_one_that_is_not_there_is_told(tiny_model):
    with pytest.raises(InputError, match="there is no such file"):
        Setup.of(str(tiny_model), device="cpu", threads=1, calibration="nowhere.yaml").open_scorer()
