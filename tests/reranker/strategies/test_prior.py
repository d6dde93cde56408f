"""What stands before the model, as a matter of scores alone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.prior import PriorScorer, Unread
from firstrank.reranker.strategies.prior import Prior, Standing, sources_of, zscores
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Outcome, Passage, Request
from tests.reranker.fakes import FakeScorer
from tests.reranker.strategies.driver import drive

FIRST_STAGE = (("first-stage", 1.0),)


def ranked(prior: Prior, values: list[float], first_stage: list[float] | None, strategy: str = "sliding:window=4,stride=2"):
    """A request whose passages are worth `values` to the model and `first_stage` to the prior."""
    passages = tuple(Passage(f"d{i}", str(value)) for i, value in enumerate(values))
    request = Request("query", passages, "q", first_stage=None if first_stage is None else tuple(first_stage))

    async def rank():
        return await Executor(PriorScorer(FakeScorer(), prior)).rank(request, parse_strategy(strategy))

    return asyncio.run(rank())


def test_the_model_reads_the_best_by_the_prior_and_the_others_follow():
    ranking = ranked(Prior(FIRST_STAGE, 3), [1, 2, 3, 4, 5, 6], [0, 9, 0.5, 8, 7, 0.1], "full")
    assert [window.docids for window in ranking.trace.windows] == [("d1", "d3", "d4")]
    assert [result.docid for result in ranking] == ["d4", "d3", "d1", "d2", "d5", "d0"]
    assert ranking.trace.notes == ("prior: 1 first-stage; 3 of 6 read",)


def test_the_prior_s_weight_moves_the_final_order_from_the_model_s_to_its_own():
    values, prior = [1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0]
    orders = {fuse: [result.docid for result in ranked(Prior(FIRST_STAGE, None, fuse), values, prior, "full")] for fuse in (0.0, 0.5, 2.0)}
    assert orders[0.0] == orders[0.5] == ["d3", "d2", "d1", "d0"]
    assert orders[2.0] == ["d0", "d1", "d2", "d3"]


def test_a_prior_alone_reads_nothing_and_gives_its_own_scores():
    passages = tuple(Passage(f"d{i}", "text") for i in range(4))
    request = Request("query", passages, first_stage=(1.0, 4.0, 2.0, 3.0))
    ranking = asyncio.run(Executor(PriorScorer(Unread(), Prior(FIRST_STAGE, 0))).rank(request, parse_strategy("sliding")))
    assert [result.docid for result in ranking] == ["d1", "d3", "d2", "d0"]
    assert ranking.trace.windows == ()
    assert [result.raw_score for result in ranking] == pytest.approx(zscores([4.0, 3.0, 2.0, 1.0]), abs=1e-6)


def test_without_first_stage_scores_the_prior_says_nothing_and_order_stays():
    ranking = ranked(Prior(FIRST_STAGE, 2), [1, 2, 3], None, "full")
    assert [result.docid for result in ranking] == ["d1", "d0", "d2"]


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(-3, 3)), min_size=1, max_size=25),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.sampled_from(["sliding:window=4,stride=2", "topdown:window=4,k=2", "tournament:window=4,k=3", "consistent:of=full,shuffles=2"]),
)
def test_every_candidate_comes_back_once_with_strictly_decreasing_scores(pairs, depth, fuse, strategy):
    values, prior = [float(v) for v, _ in pairs], [float(p) for _, p in pairs]
    ranking = ranked(Prior(FIRST_STAGE, depth, fuse), values, prior, strategy)
    assert sorted(result.index for result in ranking) == list(range(len(pairs)))
    scores = np.array([result.raw_score for result in ranking], np.float32)
    assert (np.diff(scores) < 0).all()
    best = Standing.of(np.array(prior), Prior(FIRST_STAGE, depth)).order
    assert {result.index for result in list(ranking)[: min(depth, len(pairs))]} == set(best[:depth])
    assert [result.index for result in ranking][depth:] == best[depth:]


def test_the_prior_s_order_is_by_its_values_and_ties_are_first_stage_s():
    standing = Standing.of(np.array([1.0, 3.0, 1.0, 5.0]), Prior(FIRST_STAGE, 3))
    assert standing.order == [3, 1, 0, 2]
    assert (standing.depth, standing.fuse, standing.has_a_say) == (3, 0.0, False)
    assert Standing.of(np.array([1.0, 2.0]), Prior(FIRST_STAGE)).depth == 2
    assert Standing.of(np.array([1.0, 2.0]), Prior(FIRST_STAGE, 9)).depth == 2
    assert Standing.of(np.array([1.0, 2.0]), Prior(FIRST_STAGE, 0)).has_a_say
    assert Standing.of(np.array([1.0, 2.0]), Prior(FIRST_STAGE, 1, 0.5)).has_a_say


def test_scores_are_joined_among_those_that_were_read_and_the_others_follow_one_apart():
    standing = Standing((0.0, 4.0, 2.0, 1.0, 0.5), 3, 2.0, "a prior")
    order, scores = standing.joined([0, 2, 1, 3, 4], [5.0, 3.0, 1.0, 0.0, -1.0])
    z = 1.5**0.5  # of three values that are equally far apart, the outer ones' z-score
    assert order == [1, 2, 0, 3, 4]
    assert scores == pytest.approx([2 * z - z, 0.0, z - 2 * z, -z - 1, -z - 2])
    assert Standing((3.0, 4.0), 0, 0.0, "alone").joined([1, 0], [2.0, 1.0]) == ([1, 0], [4.0, 3.0])
    assert Standing((), 5, 1.0, "of nothing").joined([], []) == ([], [])


def test_z_scores_have_mean_0_and_deviation_1_and_equal_values_say_nothing():
    assert zscores([1.0, 3.0]).tolist() == [-1.0, 1.0]
    assert zscores([2.0, 2.0]).tolist() == [0.0, 0.0]
    assert zscores([]).tolist() == []


def test_a_strategy_behind_a_prior_sees_the_lengths_of_those_that_it_reads():
    seen = []

    def strategy(view):
        seen.append((view.n, list(view.lengths)))
        yield [(0, 1)]
        return Outcome([1, 0], 2, ("its own",))

    standing = Standing((0.0, 2.0, 1.0), 2, 0.0, "a prior")
    driven = drive(standing.before(strategy), 3, lambda window: [0.0] * len(window), lengths=[10, 20, 30])
    assert seen == [(2, [20, 30])]
    assert driven.rounds == [[(1, 2)]]
    assert driven.outcome == Outcome([2, 1, 0], 2, ("its own", "prior: a prior; 2 of 3 read"))
    unread = drive(Standing((0.0, 2.0), 0, 0.0, "a prior").before(strategy), 2, lambda window: [])
    assert (unread.rounds, unread.outcome) == ([], Outcome([1, 0], 0, ("prior: a prior; 0 of 2 read",)))


def test_a_weight_or_a_depth_may_be_0_but_not_less():
    assert str(Prior(sources_of("dense:minilm=0.5,first-stage"))) == "0.5 dense:minilm + 1 first-stage"
    assert str(Prior(())) == str(Prior()) == "none"
    assert sources_of({"sparse:a": 2}) == (("sparse:a", 2.0),)
    Prior(FIRST_STAGE, 0, 0.0)
    for weight in (0.0, float("inf"), -1.0):
        with pytest.raises(InputError, match="a weight must be above 0"):
            Prior((("first-stage", weight),))
    for fuse in (float("inf"), -0.1):
        with pytest.raises(InputError, match="is a weight, from 0"):
            Prior(FIRST_STAGE, 1, fuse)
    for more in ({"depth": 1}, {"fuse": 0.0}):
        with pytest.raises(InputError, match="only with a prior"):
            Prior((), **more)
    assert Prior(fuse=0.0).completed(Prior(FIRST_STAGE, 30, 0.3)) == Prior(FIRST_STAGE, 30, 0.0)
    assert Prior(depth=5).completed(Prior(())) == Prior(None, 5)
    assert Prior(FIRST_STAGE, 5).completed(Prior(FIRST_STAGE, 30, 0.3)) == Prior(FIRST_STAGE, 5, 0.3)


def test_names_and_weights():
    assert sources_of("dense:minilm=0.5, sparse:org/model") == (("dense:minilm", 0.5), ("sparse:org/model", 1.0))
    assert sources_of("none") == ()
    assert Prior(depth=5).completed(Prior(FIRST_STAGE, 30, 0.3)) == Prior(FIRST_STAGE, 5, 0.3)
    assert Prior(()).completed(Prior(FIRST_STAGE, 30, 0.3)) == Prior(())
    assert Prior(sources_of("dense:minilm")).completed(Prior(FIRST_STAGE, 30, 0.3)) == Prior((("dense:minilm", 1.0),))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Prior(sources_of("bm25")), "prior 'bm25': unknown; there are dense:MODEL"),
        (lambda: Prior(sources_of("dense:")), "prior 'dense:': unknown"),
        (lambda: Prior(sources_of("dense:minilm=much")), "write NAME=WEIGHT"),
        (lambda: Prior(sources_of("dense:minilm=0")), "a weight must be above 0"),
        (lambda: Prior(sources_of("dense:minilm=nan")), "a weight must be above 0"),
        (lambda: Prior(FIRST_STAGE, -1), "prior_depth=-1"),
        (lambda: Prior(FIRST_STAGE, 1, -0.5), "fuse=-0.5"),
        (lambda: Prior((), 5), "only with a prior"),
    ],
)
def test_what_makes_no_sense_is_refused(make, problem):
    with pytest.raises(InputError, match=problem):
        make()
