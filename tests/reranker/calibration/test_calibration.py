"""Probabilities from evidence: the maps, what they are fitted to, and for which model they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstrank.reranker.calibration import quality
from firstrank.reranker.calibration.calibration import Calibration, Holds, parse_calibration, read_calibration
from firstrank.reranker.calibration.fitting import Judged, fit, in_the_best, without_relevant
from firstrank.reranker.calibration.maps import MODEL, Map
from firstrank.reranker.errors import InputError, ModelError

HOLDS = Holds(weights="w", template="t", arithmetic=("float32", "bfloat16"))


def judged(name: str, queries: int, level: float, seed: int = 0, steps: bool = False) -> Judged:
    """Candidates whose chance to be relevant is the logistic function of 2 dense + level; the model reads half of them, and knows more."""
    draw = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), 25)
    dense = draw.normal(size=len(query))
    chance = np.where(dense > 0, 0.6, 0.05) if steps else 1 / (1 + np.exp(-(2 * dense + level)))
    relevant = draw.random(len(query)) < chance
    read = draw.random(len(query)) < 0.5
    value = np.where(read, 2 * relevant + draw.normal(size=len(query)), np.nan)
    return Judged(name, 1, query, relevant, read, {"dense:x": dense, MODEL: value})


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return fit([judged("a", 60, -2), judged("b", 40, -2, seed=1)], HOLDS)


def test_what_is_fitted_holds_on_queries_that_were_not_seen(fitted):
    fresh = judged("fresh", 80, -2, seed=2)
    readings = {int(i): float(fresh.evidence[MODEL][i]) for i in np.flatnonzero(fresh.read)}
    opinion = fitted.judge({"dense:x": fresh.evidence["dense:x"]}, readings, len(fresh.query))
    assert quality.ece(opinion.probabilities, fresh.relevant) < 0.05
    assert quality.auroc(opinion.probabilities[fresh.read], fresh.relevant[fresh.read]) > 0.85


def test_a_passage_s_probability_depends_on_nothing_beside_it(fitted):
    dense = np.array([0.3, -1.0, 2.0])
    whole = fitted.judge({"dense:x": dense}, {0: 1.0, 2: 3.0}, 3).probabilities
    for i, readings in enumerate(({0: 1.0}, {}, {0: 3.0})):
        alone = fitted.judge({"dense:x": dense[i : i + 1]}, readings, 1).probabilities
        assert alone[0] == whole[i]


def test_more_evidence_is_a_higher_probability_and_less_doubt_that_something_is_relevant(fitted):
    weak, strong = (fitted.judge({"dense:x": np.array([value])}, {0: value}, 1) for value in (-1.0, 3.0))
    assert weak.probabilities[0] < strong.probabilities[0]
    assert weak.nothing_relevant > strong.nothing_relevant


def test_no_candidate_is_none_that_is_relevant(fitted):
    assert fitted.judge({"dense:x": np.array([])}, {}, 0).nothing_relevant > 0.99


def test_an_unread_passage_of_which_nothing_is_known_has_no_probability():
    only_read = Calibration(
        holds=HOLDS, read=Map(intercept=0, weights={MODEL: 1.0}), nothing=Map(intercept=0, weights={"strongest": -1}), cut=0
    )
    assert only_read.judge({}, {0: 2.0}, 1) is not None
    assert only_read.judge({}, {0: 2.0}, 2) is None


def test_a_relation_in_steps_gets_an_isotonic_map_and_a_smooth_one_stays_logistic():
    assert fit([judged("steps", 400, 0, steps=True)], HOLDS).unread.steps
    smooth = fit([judged("smooth", 40, -1)], HOLDS).unread
    assert smooth.steps == ()
    assert smooth.weights["dense:x"] == pytest.approx(2, abs=0.4)


def test_each_query_has_the_same_say_however_many_candidates_it_has():
    long, short = judged("long", 40, -3), judged("short", 40, 3, seed=3)
    short = short.where(np.arange(len(short.query)) % 5 == 0)
    together = fit([long, short], HOLDS).unread({"dense:x": np.zeros(1)})[0]
    assert 0.35 < together < 0.65


def test_the_cut_keeps_what_it_says(fitted):
    one = judged("a", 60, -2)
    readings = {int(i): float(one.evidence[MODEL][i]) for i in np.flatnonzero(one.read)}
    p = fitted.judge({"dense:x": one.evidence["dense:x"]}, readings, len(one.query)).probabilities
    best = in_the_best(one, p, 10) & one.relevant
    assert 0.94 < (p[best] >= fitted.cut).mean() < 1


@pytest.mark.parametrize("relevant", [True, False])
def test_nothing_to_tell_apart_is_an_error(relevant):
    one = judged("a", 5, 0)
    same = Judged("a", 1, one.query, np.full(len(one.query), relevant), one.read, one.evidence)
    with pytest.raises(InputError, match="nothing to fit"):
        fit([same], HOLDS)


def test_queries_without_their_relevant_candidates_keep_the_others():
    one = judged("a", 5, 0)
    assert not without_relevant(one).relevant.any()
    assert len(without_relevant(one).query) == int((~one.relevant).sum())


def test_a_file_is_read_as_it_was_written(fitted, tmp_path: Path):
    fitted.write(tmp_path / "calibration.yaml")
    assert read_calibration(tmp_path / "calibration.yaml") == fitted


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cut": 2}, "cut"),
        ({"read": None, "unread": None}, "give one of them"),
        ({"read": {"intercept": 0, "weights": {}}}, "read.weights"),
        ({"read": {"intercept": 0, "weights": {"model": 1}, "steps": [[0, 0.5], [0, 0.6]]}}, "must rise"),
        ({"read": {"intercept": 0, "weights": {"model": 1}, "steps": [[0, 0.5], [1, 1.5]]}}, "between 0 and 1"),
        ({"holds": {"weights": "w", "template": "t", "arithmetic": []}}, "holds.arithmetic"),
        ({"wieghts": 1}, "wieghts"),
    ],
)
def test_a_file_that_is_none_is_told_by_its_field(fitted, changed, told):
    with pytest.raises(InputError, match=told):
        parse_calibration(fitted.model_dump(mode="json") | changed, "calibration.yaml")


@pytest.mark.parametrize(
    ("its", "told"),
    [
        ({"weights": "other"}, "fitted with other weights"),
        ({"template": "other"}, "fitted with another prompt"),
        ({"arithmetic": "float16"}, "holds in float32, bfloat16, and this runs in float16"),
    ],
)
def test_another_model_is_refused(its, told):
    with pytest.raises(ModelError, match=told):
        HOLDS.check("m", **{"weights": "w", "template": "t", "arithmetic": "float32"} | its)
    HOLDS.check("m", weights="w", template="t", arithmetic=None)


def test_quality_of_known_probabilities():
    p, y = np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, False])
    assert quality.ece(p, y) == pytest.approx(0.25)
    assert quality.brier(p, y) == pytest.approx((0.05**2 * 3 + 0.95**2) / 4)
    assert quality.auroc(p, y) == pytest.approx(5 / 6)
    assert quality.auroc(p, np.zeros(4, bool)) is None
    assert quality.auroc_within(p, y, np.array([0, 0, 1, 1])) == 0.5
    assert quality.cut_keeping(0.5, p) == 0.95
    assert sum(one.share for one in quality.bins(p, y)) == pytest.approx(1)
