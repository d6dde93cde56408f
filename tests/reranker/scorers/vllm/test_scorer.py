"""vLLM in process, in the mode that samples one token: one engine for the module, which the last tests kill.

Counts come from the engine's own counters.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from firstrank.reranker.errors import EngineLost, InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Ranking, Request
from tests.reranker.scorers.windows import assert_agree, score_all, windows

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def loop():
    """An engine belongs to one event loop."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def scorer(loop):
    scorer, _ = open_scorer("first-smollm2", "vllm", engine={"mode": "generate", "max_model_len": 4096})
    yield scorer
    scorer.close()


def counted(name, **labels):
    """The sum of one of the engine's counters."""
    from prometheus_client import REGISTRY

    samples = (sample for family in REGISTRY.collect() for sample in family.samples if sample.name == f"vllm:{name}")
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def counts():
    return counted("request_success_total", finished_reason="length"), counted("generation_tokens_total"), counted("prompt_tokens_total")


def test_the_label_logits_are_those_of_transformers_and_a_window_is_one_prefill_and_one_token(loop, scorer, parity_windows, reference):
    before = counts()
    found = loop.run(score_all(scorer, parity_windows, 8))
    done, generated, read = (now - then for now, then in zip(counts(), before, strict=True))
    assert (done, generated) == (len(found), len(found))
    assert read == sum(one.prompt_tokens for one in found)
    assert [one.generated_tokens for one in found] == [1] * len(found)
    assert [one.prompt_tokens for one in found] == [one.prompt_tokens for one in reference]
    assert_agree(found, reference)


def test_one_at_a_time_and_many_at_once_give_the_same(loop, scorer):
    asked = windows(16, seed=1)
    alone = loop.run(score_all(scorer, asked, 1))
    assert_agree(loop.run(score_all(scorer, asked, 16)), alone)


def test_a_hundred_labels_in_one_window_and_no_more_than_there_are(loop, scorer):
    passages = tuple(Passage(str(i), f"bees, part {i}") for i in range(129))
    session = scorer.open(Request("do bees make honey?", passages))
    scores = loop.run(session.score(tuple(range(100))))
    assert len(set(scores.values)) > 90
    with pytest.raises(InputError, match="a window of 129 candidates is too long: the model's labels and context allow 128"):
        loop.run(session.score(tuple(range(129))))
    with pytest.raises(InputError, match=r"full: .* allow 128 of these 129 candidates"):
        loop.run(Executor(scorer).rank(Request("bees?", passages), parse_strategy("full")))


def test_the_engine_keeps_the_memory_of_its_activations(loop, scorer):
    """Given back to the kernel between layers, they would come back as page faults, layer by layer."""
    import psutil  # which vLLM brings along

    [process] = scorer.engine.engine_core.resources.engine_manager.processes

    def faults():
        engine = psutil.Process(process.pid)
        return sum(int(Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[7]) for one in (engine, *engine.children()))

    asked = windows(6, n=40, seed=7)
    loop.run(score_all(scorer, asked[:3], 1))
    before = faults()
    loop.run(score_all(scorer, asked[3:], 1))
    assert faults() - before < 30_000


def test_a_query_is_ranked_through_windows(loop, scorer):
    [request] = windows(1, n=12, seed=2)
    ranking = loop.run(Executor(scorer).rank(request, parse_strategy("sliding:window=8,stride=4")))
    assert len(ranking) == 12
    assert len(ranking.trace.windows) == 2
    assert ranking.trace.generated_tokens == 2


def test_cancelling_a_request_aborts_its_windows_in_the_engine(loop, scorer):
    aborted = counted("request_success_total", finished_reason="abort")
    asked = windows(12, n=20, seed=3)

    async def cancelled():
        ranking = asyncio.create_task(score_all(scorer, asked, 12))
        while scorer.engine.get_num_unfinished_requests() < 12:
            await asyncio.sleep(0.005)
        ranking.cancel()
        await asyncio.gather(ranking, return_exceptions=True)
        assert scorer.engine.get_num_unfinished_requests() == 0
        return await score_all(scorer, asked[:1], 1)

    assert len(loop.run(cancelled())) == 1
    assert counted("request_success_total", finished_reason="abort") >= aborted


def test_an_engine_that_is_killed_fails_the_request_with_a_reason_and_a_fresh_scorer_works(loop, scorer, capfd, monkeypatch):
    asked = windows(8, n=20, seed=4)

    async def killed():
        task = asyncio.create_task(score_all(scorer, asked, 8))
        while scorer.engine.get_num_unfinished_requests() < 8:
            await asyncio.sleep(0.005)
        [process] = scorer.engine.engine_core.resources.engine_manager.processes
        os.kill(process.pid, signal.SIGKILL)
        started = time.monotonic()
        async with asyncio.timeout(600):
            [failure] = await asyncio.gather(task, return_exceptions=True)
        return failure, time.monotonic() - started

    assert scorer.alive
    failure, seconds = loop.run(killed())
    assert isinstance(failure, EngineLost)
    assert "vLLM's engine is gone: its process was ended from outside (its log: " in str(failure)
    assert seconds < 300  # at once, on a free machine
    assert not scorer.alive
    with pytest.raises(EngineLost):
        loop.run(score_all(scorer, asked[:1], 1))
    for name in ("OMP_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND"):
        monkeypatch.delenv(name)
    fresh, _ = open_scorer("first-smollm2", "vllm", answer="permutation", engine={"max_model_len": 4096})
    try:
        check_that_a_constrained_ordering_is_complete(loop, fresh)
    finally:
        fresh.close()
    said = capfd.readouterr()
    assert said.out == said.err == ""


def check_that_a_constrained_ordering_is_complete(loop, scorer):
    """Orderings of several windows at once, of different sizes: complete, and no token more."""
    asked = [*windows(3, n=8, seed=5), *windows(2, n=3, seed=6)]
    ordering = scorer._model.prompter.ordering
    for request, scores in zip(asked, loop.run(score_all(scorer, asked, 5)), strict=True):
        n = len(request.passages)
        assert sorted(scores.values) == list(range(1, n + 1))
        assert scores.generated_tokens == ordering.upto(n).longest
        assert scores.notes == ()
    ranked = loop.run(Executor(scorer).rank(replace(asked[0], qid="whole"), parse_strategy("sliding")))
    assert isinstance(ranked, Ranking)
