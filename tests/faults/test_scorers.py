"""A scorer that raises, hangs, or gives what is no number fails its own query, clearly; without memory a batch is split."""

from __future__ import annotations

import asyncio
import shutil
import time

import pytest
import torch

from firstrank.reranker.errors import ModelError, ScorerError, TransientError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.types import Failure, Passage, Ranking, Request
from tests.reranker.fakes import FakeScorer, FakeSession, one_window, request

QUERIES = 12


class Hanging(FakeScorer):
    """Never answers for query 5; `silent` counts how often it was asked."""

    silent = 0

    def open(self, asked):
        session = super().open(asked)
        if asked.qid == "5":
            session = Mute(self, asked)
        return session


class Mute(FakeSession):
    async def score(self, indices):
        self._scorer.silent += 1
        await asyncio.Event().wait()


def raises(qid, texts):
    if qid == "5":
        raise ScorerError("the scorer is at a loss")


def raises_for_a_while(qid, texts):
    if qid == "5":
        raise TransientError("the scorer is busy")


SCORERS = {
    "raises": (lambda: FakeScorer(hook=raises), "the scorer is at a loss"),
    "is busy": (lambda: FakeScorer(hook=raises_for_a_while), "the scorer is busy"),
    "hangs": (Hanging, r"the scorer left a window of 4 unanswered 2 times, 0\.2 s each"),
    "nan": (FakeScorer, "it must give one finite number per candidate"),
}


@pytest.mark.parametrize("fault", SCORERS)
def test_only_the_query_at_fault_fails(fault, monkeypatch, tells):
    monkeypatch.setattr("firstrank.reranker.executor.executor._FIRST_PAUSE", 0.01)
    make, said = SCORERS[fault]
    scorer = make()
    requests = [request(4, str(i), [0, 1, 2, "nan" if fault == "nan" and i == 5 else 3]) for i in range(QUERIES)]

    async def ranked():
        return [one async for one in Executor(scorer, patience=0.2).stream(requests, one_window)]

    started = time.perf_counter()
    results = asyncio.run(ranked())
    seconds = time.perf_counter() - started
    scorer.close()
    assert [type(one) for one in results] == [Failure if i == 5 else Ranking for i in range(QUERIES)]
    assert isinstance(results[5].error, ScorerError)
    assert results[5].request is requests[5]
    with pytest.raises(ScorerError, match=said):
        raise results[5].error
    assert scorer.open_sessions == 0
    assert getattr(scorer, "silent", 2) == 2
    tells(QUERIES, seconds=seconds)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")]
)
def test_a_batch_without_memory_is_split_until_it_fits(tiny_model, error, tells):
    requests = [Request("query", tuple(Passage(f"d{i}", f"text {i} of {qid}") for i in range(6)), f"{qid}") for qid in range(QUERIES)]
    scorer, _ = open_scorer(str(tiny_model), device="cpu", threads=1)

    async def ranked():
        return [one async for one in Executor(scorer).stream(requests, one_window)]

    expected = asyncio.run(ranked())
    answer, refused = scorer._start, []

    def without_room(windows):
        if len(windows) > 1 or refused.count(1) == 0:  # a window that is alone fits the second time
            refused.append(len(windows))
            raise error
        return answer(windows)

    scorer._start = without_room
    scorer._on_cpu, scorer._batcher._max_windows, scorer._batcher._max_tokens = False, 8, 1 << 20  # as on a GPU: many go together
    started = time.perf_counter()
    found = asyncio.run(ranked())
    seconds = time.perf_counter() - started
    scorer._start = lambda windows: (_ for _ in ()).throw(error)
    failed = asyncio.run(ranked())
    scorer.close()
    assert max(refused) > 1
    assert [[(one.docid, one.score) for one in each] for each in found] == [[(one.docid, one.score) for one in each] for each in expected]
    assert {str(one.error).partition(" of ")[0] for one in failed} == {"cpu: no memory for 1 windows"}
    tells(QUERIES, seconds=seconds)


def test_weights_that_are_cut_short_anywhere_are_a_sentence(tiny_model, tmp_path, tells):
    folder = shutil.copytree(tiny_model, tmp_path / "cut")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for tenth in range(10):
        weights.write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(ModelError, match="weights"):
            open_scorer(str(folder), device="cpu")
    weights.write_bytes(whole)
    started = time.perf_counter()
    scorer, _ = open_scorer(str(folder), device="cpu", threads=1)
    tells(10, seconds=time.perf_counter() - started)
    scorer.close()
