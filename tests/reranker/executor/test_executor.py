"""The executor: many requests over one scorer, bounded, cancellable, and honest about failure."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest

from firstrank.reranker.errors import DeadlineExceeded, ScorerError, TransientError
from firstrank.reranker.executor.executor import Executor, Terms
from firstrank.reranker.types import Failure, Outcome, Ranking, Scores
from tests.reranker.fakes import FakeScorer, one_window, request


def collect(scorer, requests, strategy=one_window, **options):
    async def run():
        executor = Executor(scorer)
        return [result async for result in executor.stream(requests, strategy, **options)]

    return asyncio.run(run())


def test_one_request_with_its_trace():
    ranking = asyncio.run(Executor(FakeScorer()).rank(request(3, "q7"), one_window))
    assert [result.docid for result in ranking] == ["d2", "d1", "d0"]
    assert [result.rank for result in ranking] == [1, 2, 3]
    assert [result.index for result in ranking] == [2, 1, 0]
    assert ranking[1].score == 0.5
    assert ranking.score_of("d2") > 0.5
    trace = ranking.trace.to_dict()
    assert trace["qid"] == "q7"
    assert trace["strategy"] == "one_window"
    assert trace["rounds"] == 1
    assert trace["prompt_tokens"] == 30
    assert trace["windows"][0]["docids"] == ("d0", "d1", "d2")


def test_a_trace_tells_what_was_said_of_each_window():
    """Two windows with the same note are two windows, though the request says it once."""

    class Noting:
        lengths, max_window = (1, 1, 1, 1), 2

        async def score(self, indices):
            return Scores(tuple(map(float, indices)), notes=("mended",) if indices[0] < 2 else ())

        def close(self):
            pass

    class NotingScorer(FakeScorer):
        def open(self, asked):
            return Noting()

    def strategy(view):
        yield [(0, 1), (1, 2), (2, 3)]
        return Outcome((3, 2, 1, 0), certified=0)

    trace = asyncio.run(Executor(NotingScorer()).rank(request(4), strategy)).trace
    assert trace.notes == ("mended",)
    assert [window.notes for window in trace.windows] == [("mended",), ("mended",), ()]


def test_no_passages_give_an_empty_ranking_and_ask_nothing():
    scorer = FakeScorer()
    ranking = asyncio.run(Executor(scorer).rank(request(0), one_window))
    assert len(ranking) == 0
    assert scorer.batches == []


def test_windows_of_different_requests_share_batches():
    scorer = FakeScorer(seconds=0.01)
    results = collect(scorer, [request(3, str(i)) for i in range(32)])
    assert [result.qid for result in results] == [str(i) for i in range(32)]
    assert len(scorer.batches) <= 3
    assert scorer.open_sessions == 0


def test_as_completed_does_not_wait_for_a_slow_request():
    gate = threading.Event()
    scorer = FakeScorer(max_windows=1, hook=lambda qid, texts: gate.wait(5) if qid == "slow" else None)

    async def run():
        seen = []
        async for result in Executor(scorer).stream(
            [request(2, "fast"), request(2, "slow"), request(2, "late")], one_window, ordered=False
        ):
            seen.append(result.qid)
            gate.set()
        return seen

    assert asyncio.run(run())[0] == "fast"


def test_a_bad_window_fails_its_own_request_only():
    def hook(qid, texts):
        if qid == "3":
            raise ScorerError("no")

    results = collect(FakeScorer(hook=hook), [request(3, str(i)) for i in range(8)])
    assert [type(result) for result in results] == [Failure if i == 3 else Ranking for i in range(8)]
    assert str(results[3].error) == "no"


def test_transient_faults_are_tried_again_then_given_up(monkeypatch):
    monkeypatch.setattr("firstrank.reranker.executor.executor._FIRST_PAUSE", 0.001)
    tries = Counter()

    def hook(qid, texts):
        tries[qid] += 1
        if qid == "never" or tries[qid] < 3:
            raise TransientError("busy")

    results = collect(FakeScorer(hook=hook, max_windows=1), [request(2, "thrice"), request(2, "never")])
    assert isinstance(results[0], Ranking)
    assert tries["thrice"] == 3
    assert isinstance(results[1].error, TransientError)
    assert tries["never"] == 4


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_scores_that_are_not_numbers_are_refused(value):
    [result] = collect(FakeScorer(), [request(2, values=[1, value])])
    assert isinstance(result.error, ScorerError)


def test_a_strategy_that_loses_a_candidate_is_found_out():
    def forgetful(view):
        yield [(0, 1)]
        return Outcome([0], certified=1)

    [result] = collect(FakeScorer(), [request(2)], forgetful)
    assert "each of its 2 candidates once" in str(result.error)


def test_deadline():
    async def run():
        executor = Executor(FakeScorer(seconds=0.2))
        await executor.rank(request(2, "q"), one_window, Terms(deadline=asyncio.get_running_loop().time() + 0.02))

    with pytest.raises(DeadlineExceeded, match="'q'"):
        asyncio.run(run())


def test_cancelling_takes_waiting_windows_back():
    started, gate = threading.Event(), threading.Event()

    def hook(qid, texts):
        started.set()
        gate.wait(5)

    scorer = FakeScorer(hook=hook, max_windows=1)

    async def run():
        executor = Executor(scorer)
        tasks = [asyncio.create_task(executor.rank(request(2, str(i)), one_window)) for i in range(5)]
        await asyncio.to_thread(started.wait, 5)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        gate.set()
        await tasks[0]

    asyncio.run(run())
    assert scorer.batches == [1]
    assert scorer.open_sessions == 0


def test_closing_the_stream_early_cancels_the_rest():
    scorer = FakeScorer(max_windows=1, seconds=0.005)

    async def run():
        stream = Executor(scorer).stream((request(2, str(i)) for i in range(100)), one_window)
        await anext(stream)
        await stream.aclose()

    asyncio.run(run())
    assert len(scorer.batches) < 10
    assert scorer.open_sessions == 0


def test_requests_are_read_lazily():
    read = []

    def source():
        for i in range(1000):
            read.append(i)
            yield request(2, str(i))

    async def run():
        async for _ in Executor(FakeScorer(concurrency=4, seconds=0.001)).stream(source(), one_window):
            break

    asyncio.run(run())
    assert len(read) <= 20


def test_windows_of_one_round_run_together():
    scorer = FakeScorer()

    def pairs(view):
        yield [(i, i + 1) for i in range(0, view.n, 2)]
        return Outcome(range(view.n), certified=0)

    collect(scorer, [request(20)], pairs)
    assert scorer.batches == [10]


def test_rounds_of_different_requests_run_in_one_batch_whatever_their_strategies():
    from firstrank.reranker.strategies.register import parse_strategy

    scorer = FakeScorer(seconds=0.01, concurrency=300)

    async def run():
        executor = Executor(scorer)
        names = ["sliding", "topdown", "tournament", "blitz", "consistent:shuffles=2"] * 4
        await asyncio.gather(*(executor.rank(request(60, f"{i}"), parse_strategy(name)) for i, name in enumerate(names)))

    asyncio.run(run())
    windows = sum(scorer.batches)
    assert len(scorer.batches) < windows / 5


def test_a_cancel_does_not_wait_for_an_encoding_and_its_session_is_closed():
    scorer, encoding = FakeScorer(), threading.Event()
    plain = scorer.open

    def slowly(asked):
        assert encoding.wait(20)
        return plain(asked)

    scorer.open = slowly

    async def run():
        executor = Executor(scorer)
        with pytest.raises(DeadlineExceeded):
            await executor.rank(request(2), one_window, Terms(deadline=asyncio.get_running_loop().time() + 0.01))
        assert not encoding.is_set()  # the deadline was kept all the same
        encoding.set()
        assert len(await executor.rank(request(2), one_window)) == 2

    asyncio.run(run())
    assert scorer.open_sessions == 0
