"""Scores that are probabilities, over HTTP: what a calibrated model's answers say, and what is cut."""

from __future__ import annotations

import numpy as np
import pytest

from firstrank.reranker.calibration.maps import strongest
from firstrank.reranker.scorers.calibrated import CalibratedScorer
from tests.reranker.calibration.logistic import LOGISTIC, sigmoid
from tests.reranker.fakes import FakeScorer
from tests.server.serving import body, in_loop, serving


def calibrated() -> CalibratedScorer:
    return CalibratedScorer(FakeScorer(), LOGISTIC)


@in_loop
async def test_relevance_scores_are_probabilities_that_do_not_depend_on_the_company():
    async with serving(calibrated()) as http:
        whole = (await http.post("/v2/rerank", json=body("2", "-1", "0.5"))).json()
        parts = [(await http.post("/v2/rerank", json=body(text))).json()["results"][0] for text in ("2", "0.5", "-1")]
    assert [one["index"] for one in whole["results"]] == [0, 2, 1]
    assert [one["relevance_score"] for one in whole["results"]] == pytest.approx([sigmoid(2), sigmoid(0.5), sigmoid(-1)])
    assert [one["relevance_score"] for one in parts] == [one["relevance_score"] for one in whole["results"]]
    assert whole["calibrated"] is True
    assert whole["nothing_relevant"] == pytest.approx(sigmoid(-strongest(np.array([2, -1, 0.5]))))


@in_loop
async def test_what_a_model_without_calibration_says_is_as_before():
    async with serving() as http:
        answer = (await http.post("/v2/rerank", json=body("1"))).json()
        refused = await http.post("/v2/rerank", json=body("1", score_threshold=0.5))
        [listed] = (await http.get("/v1/models")).json()["data"]
    assert answer["results"][0]["relevance_score"] == 0.5
    assert answer["calibrated"] is False
    assert "nothing_relevant" not in answer
    assert refused.status_code == 422
    assert "is not calibrated" in refused.text
    assert listed["calibrated"] is False


@in_loop
async def test_the_service_says_that_its_model_is_calibrated():
    async with serving(calibrated()) as http:
        [listed] = (await http.get("/v1/models")).json()["data"]
        info = (await http.get("/info")).json()
    assert listed["calibrated"] is True
    assert info["models"]["default"]["calibrated"] is True


@pytest.mark.parametrize("name", ["score_threshold", "min_score", "min_probability"])
@in_loop
async def test_a_threshold_leaves_out_what_is_less_probable_and_may_leave_nothing(name):
    async with serving(calibrated()) as http:
        some = await http.post("/v2/rerank", json=body("2", "-1", "0.5", **{name: 0.5}))
        best = await http.post("/v2/rerank", json=body("2", "-1", "0.5", **{name: 0.5, "top_n": 1}))
        none = await http.post("/v2/rerank", json=body("-2", "-1", **{name: 0.5}))
    assert [one["index"] for one in some.json()["results"]] == [0, 2]
    assert [one["index"] for one in best.json()["results"]] == [0]
    assert none.status_code == 200
    assert none.json()["results"] == []
    assert float(none.headers["x-nothing-relevant"]) == pytest.approx(sigmoid(-strongest(np.array([-2, -1]))), abs=1e-4)


@pytest.mark.parametrize(
    ("path", "sent", "found"),
    [
        ("/rerank", {"texts": ["2", "-1"]}, lambda answer: answer),
        ("/v1/rerank", {"documents": ["2", "-1"], "top_k": 2}, lambda answer: answer["data"]),
        ("/v1/reranking", {"input": ["2", "-1"]}, lambda answer: answer["data"]),
    ],
)
@in_loop
async def test_other_shapes_have_it_too(path, sent, found):
    async with serving(calibrated()) as http:
        answer = await http.post(path, json={"query": "q", "score_threshold": 0.5} | sent)
    assert answer.status_code == 200, answer.text
    [one] = found(answer.json())
    assert one.get("score", one.get("relevance_score")) == pytest.approx(sigmoid(2))


@pytest.mark.parametrize("value", [-0.1, 1.1, "high"])
@in_loop
async def test_what_is_no_probability_is_refused(value):
    async with serving(calibrated()) as http:
        refused = await http.post("/v2/rerank", json=body("1", score_threshold=value))
    assert refused.status_code == 422
    assert "score_threshold" in refused.text


@in_loop
async def test_raw_scores_stay_what_they_were():
    async with serving(calibrated()) as http:
        raw = (await http.post("/v2/rerank", json=body("2", "-1", raw_scores=True))).json()["results"]
    assert [one["relevance_score"] for one in raw] == pytest.approx([1.5, -1.5])
