"""A batch whose results come in parts, from workers elsewhere: kept as they come, merged in the order of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pytest

from firstrank.reranker.batch.journal import Journal, open_journal
from firstrank.reranker.batch.tasks import Finished, Rank, Task, Unranked, rerank
from firstrank.reranker.errors import EngineLost, InputError, ScorerError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.runs.trec import write_run
from firstrank.reranker.scorers.calibrated import CalibratedScorer
from firstrank.reranker.types import Failure, Ranking, Request
from tests.reranker.calibration.logistic import LOGISTIC, sigmoid
from tests.reranker.fakes import FakeScorer, one_window, request

QIDS = [f"q{i}" for i in range(20)]
TASKS = [Task(request(5, qid, values=[(7 * i + 3 * n) % 11 for n in range(5)]), (f"tail-of-{qid}",)) for i, qid in enumerate(QIDS)]


def one(asked: Request) -> Ranking:
    return asyncio.run(Executor(FakeScorer()).rank(asked, one_window))


def in_order(requests: Any) -> Iterator[Ranking]:
    return map(one, requests)


def in_parts(died_after: int | None = None, asked: Callable[[str], None] = lambda qid: None) -> Rank:
    """Chunks of 6 on workers that answer in parts of 2, in turn and from the last chunk on; the engine may be lost midway."""

    def rank(requests: Any) -> Iterator[Ranking | Failure]:
        waiting = list(requests)
        chunks = [waiting[i : i + 6] for i in range(0, len(waiting), 6)][::-1]
        parts = zip_longest(*([chunk[i : i + 2] for i in range(0, len(chunk), 2)] for chunk in chunks), fillvalue=[])
        for done, each in enumerate(chain.from_iterable(chain.from_iterable(parts))):
            if done == died_after:
                raise EngineLost("nobody is left")
            asked(each.qid)
            yield one(each)

    return rank


def written(output: Path, journal: Journal) -> bytes:
    write_run(output, Finished(QIDS, journal, {}).lists(tail=True))
    return output.read_bytes()


@pytest.fixture
def local(tmp_path: Path) -> bytes:
    """What a batch in one process writes."""
    with open_journal(tmp_path / "local.trec", {}) as journal:
        list(rerank(TASKS, in_order, journal))
        return written(tmp_path / "local.trec", journal)


def test_parts_in_any_order_are_merged_into_the_bytes_of_a_local_run(tmp_path: Path, local: bytes) -> None:
    with open_journal(tmp_path / "out.trec", {}) as journal:
        came = [result.qid for result in rerank(TASKS, in_parts(), journal) if isinstance(result, Ranking)]
        assert sorted(came) == sorted(QIDS)
        assert came != QIDS
        assert written(tmp_path / "out.trec", journal) == local


def test_what_came_before_the_workers_were_lost_is_not_asked_again(tmp_path: Path, local: bytes) -> None:
    output, asked, again = tmp_path / "out.trec", [], []
    with pytest.raises(EngineLost), open_journal(output, {}) as journal:
        list(rerank(TASKS, in_parts(9, asked.append), journal))
    with (tmp_path / "out.trec.part.jsonl").open("ab") as part:
        part.write(b'{"qid": "q0", "docids"')  # and the driver was killed while it wrote
    with open_journal(output, {}) as journal:
        assert journal.resumed == len(asked) == 9
        list(rerank(TASKS, in_parts(asked=again.append), journal))
        assert sorted(asked + again) == sorted(QIDS)
        assert written(output, journal) == local


def test_a_query_that_failed_in_a_part_leaves_its_neighbours(tmp_path: Path) -> None:
    def rank(requests: Any) -> Iterator[Ranking | Failure]:
        for each in requests:
            yield Failure(each, ScorerError("no")) if each.qid == "q3" else one(each)

    with open_journal(tmp_path / "out.trec", {}) as journal:
        [failed] = [result for result in rerank(TASKS, rank, journal) if isinstance(result, Unranked)]
        assert (failed.failure.qid, failed.tail, len(journal)) == ("q3", ("tail-of-q3",), 19)
        assert "q3" not in journal


@pytest.mark.parametrize("least", [None, 0.7])
def test_a_trace_has_each_candidate_s_probability_and_a_cut_leaves_the_trace_whole(tmp_path, least):
    scorer = CalibratedScorer(FakeScorer(), LOGISTIC)
    asked = Task(request(3, "q", values=[0, 2, 1]), ("tail",))
    with open_journal(tmp_path / "out.trec", {}) as journal:
        ranked = (asyncio.run(Executor(scorer).rank(one, one_window)) for one in (asked.request,))
        list(
            rerank(
                [asked], lambda requests: (ranking for _, ranking in zip(requests, ranked, strict=True)), journal, traced=True, least=least
            )
        )
        entry = journal["q"]
    assert entry["docids"] == (["d1", "d2", "d0"] if least is None else ["d1", "d2"])
    assert entry["trace"]["probabilities"] == pytest.approx({"d1": sigmoid(2), "d2": sigmoid(1), "d0": 0.5})


def test_a_trace_of_a_model_that_is_not_calibrated_has_no_probabilities_and_a_cut_is_refused(tmp_path):
    with open_journal(tmp_path / "out.trec", {}) as journal:
        list(rerank(TASKS[:1], in_order, journal, traced=True))
        assert "probabilities" not in journal["q0"]["trace"]
        with pytest.raises(InputError, match="needs a calibrated model"):
            list(rerank(TASKS[1:2], in_order, journal, least=0.5))
        assert "q1" not in journal
