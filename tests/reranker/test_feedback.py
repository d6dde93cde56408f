"""Query vectors that learn from a ranking: what moves them, what does not, and that many at once are as good as one."""

from __future__ import annotations

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.feedback import OBJECTIVES, Feedback, distil


def unit(values):
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def problem(queries=3, n=20, d=32, seed=0):
    draw = np.random.default_rng(seed)
    vectors = unit(draw.normal(size=(queries, d)))
    passages = [unit(vectors[i] + unit(draw.normal(size=(n + i, d)))) for i in range(queries)]
    scores = [draw.normal(size=n + i).astype(np.float32) for i in range(queries)]
    return vectors, passages, scores


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_moved_query_agrees_better_with_the_ranking(objective):
    queries, passages, scores = problem(queries=8)
    moved = distil(queries, passages, scores, Feedback(objective))
    for query, better, vectors, ranked in zip(queries, moved, passages, scores, strict=True):
        assert np.corrcoef(vectors @ better, ranked)[0, 1] > np.corrcoef(vectors @ query, ranked)[0, 1]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_many_at_once_are_as_one_at_a_time(objective):
    queries, passages, scores = problem(queries=70)
    together = distil(queries, passages, scores, Feedback(objective, steps=100))
    alone = [distil(queries[i : i + 1], passages[i : i + 1], scores[i : i + 1], Feedback(objective, steps=100)) for i in range(70)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_ranking_that_says_nothing_leaves_its_query_where_it_was(objective):
    queries, passages, scores = problem(queries=4)
    passages[1], scores[1] = passages[1][:1], scores[1][:1]
    passages[2], scores[2] = passages[2][:0], scores[2][:0]
    scores[3] = np.full_like(scores[3], 0.5)
    moved = distil(queries, passages, scores, Feedback(objective))
    np.testing.assert_array_equal(moved[1:], queries[1:])
    assert not np.array_equal(moved[0], queries[0])


def test_ridge_solves_its_least_squares():
    queries, [vectors, *_], [ranked, *_] = problem(queries=1)
    query, moved = queries[0].astype(np.float64), distil(queries, [vectors], [ranked], Feedback("ridge", ridge=0.5))[0]
    seen = vectors @ query
    wanted = seen.mean() + seen.std() * (ranked - ranked.mean()) / ranked.std()
    gradient = vectors.T @ (vectors @ moved - wanted) + 0.5 * (moved - query)
    assert np.abs(gradient).max() < 1e-4


def test_kl_and_ranknet_follow_the_slope_of_their_losses():
    """One small step lowers the loss as written in its paper."""
    queries, [vectors, *_], [ranked, *_] = problem(queries=1)
    spread, level = (vectors @ queries[0]).std(), (vectors @ queries[0]).mean()

    def kl(query):
        logits, target = 2 * (vectors @ query - level) / spread, 2 * (ranked - ranked.mean()) / ranked.std()
        target = np.exp(target) / np.exp(target).sum()
        return float(-(target * (logits - np.log(np.exp(logits).sum()))).sum())

    def ranknet(query):
        logits = (vectors @ query)[np.argsort(-ranked)] / spread
        pairs = [(i, j) for i in range(len(logits)) for j in range(i + 1, len(logits))]
        return sum(np.log1p(np.exp(logits[j] - logits[i])) / (i + j + 2) for i, j in pairs)

    for objective, loss in (("kl", kl), ("ranknet", ranknet)):
        moved = distil(queries, [vectors], [ranked], Feedback(objective, steps=1, rate=1e-3))
        assert loss(moved[0]) < loss(queries[0])


def test_tied_candidates_push_nobody_in_ranknet():
    queries, [vectors, *_], _ = problem(queries=1)
    scores = np.zeros(len(vectors), np.float32)
    scores[0] = 1.0
    moved = distil(queries, [vectors], [scores], Feedback("ranknet", steps=5))
    gain = vectors @ moved[0] - vectors @ queries[0]
    assert gain[0] == gain.max()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [("scores", np.nan, "NaN"), ("scores", np.inf, "NaN or infinite"), ("passages", np.nan, "NaN"), ("queries", np.nan, "query vector")],
)
def test_numbers_that_are_none_are_refused(place, value, message):
    queries, passages, scores = problem()
    {"scores": scores[1], "passages": passages[1][0], "queries": queries[0]}[place][0] = value
    with pytest.raises(InputError, match=message):
        distil(queries, passages, scores)


def test_shapes_that_do_not_fit_are_refused():
    queries, passages, scores = problem()
    with pytest.raises(InputError, match="as many of each"):
        distil(queries, passages[:2], scores)
    with pytest.raises(InputError, match="query 0"):
        distil(queries, [passages[0][:, :5], *passages[1:]], scores)


@pytest.mark.parametrize(("name", "value"), [("objective", "mse"), ("steps", 0), ("rate", 0.0), ("rate", float("nan")), ("ridge", -1.0)])
def test_settings_that_cannot_work_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Feedback(**{name: value})
