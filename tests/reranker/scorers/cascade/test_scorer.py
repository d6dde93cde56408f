"""The cascade: what is deferred, within what budget, and what the trace tells of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError, TransientError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.cascade.deferral import margin
from firstrank.reranker.scorers.cascade.scorer import CascadeScorer
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Request, Scores
from tests.reranker.fakes import FakeScorer, request

GRADES = {f"d{i}": i * 7 % 4 for i in range(100)}
REQUEST = Request("a query", tuple(Passage(f"d{i}", "two words") for i in range(100)), "q")


def oracle(noise: float, seed: int = 0) -> OracleScorer:
    return OracleScorer({"q": GRADES}, OracleOptions(noise=noise, seed=seed))


def rank(scorer, strategy="sliding", asked=REQUEST):
    return asyncio.run(Executor(scorer).rank(asked, parse_strategy(strategy)))


def deferred(ranking) -> list[int]:
    return [place for place, window in enumerate(ranking.trace.windows) if ">" in window.scorer]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(1, 100),
    st.floats(0, 1),
    st.sampled_from(["sliding", "sliding:passes=3", "full", "topdown", "tournament", "blitz", "consistent:of=topdown,shuffles=3"]),
    st.integers(0, 1000),
)
def test_the_budget_bounds_the_share_of_every_request(n, budget, strategy, seed):
    asked = Request("a query", REQUEST.passages[:n], "q")
    ranking = rank(CascadeScorer(oracle(1.0, seed), oracle(0.25, seed + 1), budget=budget), strategy, asked)
    assert len(deferred(ranking)) <= budget * len(ranking.trace.windows) + 1e-6


def test_a_budget_of_all_is_the_large_scorer_and_of_nothing_the_small_one():
    def order(scorer):
        return [result.docid for result in rank(scorer)]

    assert order(CascadeScorer(oracle(1.0), oracle(0.1, 5), budget=1.0)) == order(oracle(0.1, 5))
    assert order(CascadeScorer(oracle(1.0), oracle(0.1, 5), budget=0.0)) == order(oracle(1.0))


def test_the_trace_says_what_was_deferred_and_what_both_prompts_cost():
    ranking = rank(CascadeScorer(oracle(1.0), oracle(0.25, 1), budget=0.3))
    windows = ranking.trace.windows
    assert 1 <= len(deferred(ranking)) <= 2
    assert {window.scorer for window in windows} == {"oracle", "oracle>oracle"}
    costs = {window.scorer: window.prompt_tokens for window in windows}
    assert costs["oracle>oracle"] == 2 * costs["oracle"] == 2 * (2 + 20 * 2)


def test_the_budget_is_kept_for_the_windows_where_most_is_at_stake():
    """Equally unsure of all: of nine windows from back to front, the front one is deferred, not the first that could be."""
    ranking = rank(CascadeScorer(oracle(0.0), oracle(0.0), budget=0.2, rule=lambda values: 1.0))
    assert deferred(ranking) == [8]


def test_where_less_is_at_stake_only_a_greater_doubt_is_deferred():
    doubts = iter([1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    scorer = CascadeScorer(oracle(0.0), oracle(0.0), budget=0.2, rule=lambda values: next(doubts))
    assert deferred(rank(scorer)) == [1]


def test_what_is_deferred_does_not_depend_on_which_answer_comes_first():
    class Slow(OracleScorer):
        """Answers the windows of a round in reverse."""

        async def after_a_while(self, scores: Scores) -> Scores:
            self.pause = getattr(self, "pause", 0.02) * 0.7
            await asyncio.sleep(self.pause)
            return scores

    fast = rank(CascadeScorer(oracle(1.0), oracle(0.25, 1), budget=0.5), "topdown")
    slow = rank(CascadeScorer(Slow({"q": GRADES}, OracleOptions(noise=1.0)), oracle(0.25, 1), budget=0.5), "topdown")
    assert deferred(fast) == deferred(slow) != []
    assert [result.docid for result in fast] == [result.docid for result in slow]


def test_a_large_scorer_that_fails_once_is_asked_again_and_counted_once(monkeypatch):
    monkeypatch.setattr("firstrank.reranker.executor.executor._FIRST_PAUSE", 0.001)
    failures = iter([True, False, True])

    def hook(qid, texts):
        if next(failures, False):
            raise TransientError("busy")

    small = FakeScorer()
    scorer = CascadeScorer(small, FakeScorer(hook=hook), budget=0.5)
    ranking = rank(scorer, "sliding:window=4,stride=2", request(20))
    assert len(deferred(ranking)) <= 0.5 * len(ranking.trace.windows)
    assert sum(small.batches) == len(ranking.trace.windows)


def test_a_small_scorer_that_fails_holds_nobody_up():
    def hook(qid, texts):
        raise TransientError("busy")

    async def run():
        session = CascadeScorer(FakeScorer(hook=hook), FakeScorer(), budget=1.0).open(request(8))
        async with asyncio.timeout(5):
            return await asyncio.gather(*(session.score((i, i + 1)) for i in range(4)), return_exceptions=True)

    assert [type(one) for one in asyncio.run(run())] == [TransientError] * 4


def test_sessions_of_both_are_closed():
    small, large = FakeScorer(), FakeScorer()
    rank(CascadeScorer(small, large), asked=request(30))
    assert (small.open_sessions, large.open_sessions) == (0, 0)


def test_a_session_takes_what_both_can():
    small, large = FakeScorer(max_window=10, tokens=3), FakeScorer(max_window=7, tokens=5)
    session = CascadeScorer(small, large).open(request(20))
    assert (session.max_window, session.lengths) == (7, (5,) * 20)


@pytest.mark.parametrize("budget", [-0.1, 1.1, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(InputError, match="from 0 to 1"):
        CascadeScorer(FakeScorer(), FakeScorer(), budget=budget)


def test_a_setup_takes_a_cascade_by_name_and_rule(tiny_model):
    setup = Setup.of(str(tiny_model), cascade=str(tiny_model), defer_budget=0.4, defer_rule="margin", threads=1)
    with Reranker(setup) as reranker:
        assert isinstance(reranker.scorer, CascadeScorer)
        assert (reranker.scorer.budget, reranker.scorer.rule) == (0.4, margin)
    with pytest.raises(InputError, match="entropy, margin"):
        Reranker(str(tiny_model), cascade=str(tiny_model), defer_rule="no-such-rule")


def test_deferral_without_a_cascade_has_no_effect_and_is_refused():
    with pytest.raises(InputError, match="defer_budget: only with cascade"):
        Setup.of(defer_budget=0.2)
