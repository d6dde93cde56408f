"""A worker by itself, without Ray: what it is sent, and what it sends back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from firstrank.reranker.batch.ray import PART, Worker, _bare, _portable, start_cluster
from firstrank.reranker.batch.tasks import RunTasks, Unfinished
from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.store import TextStore, build
from firstrank.reranker.types import Passage, Ranking, Request
from tests.reranker.batch.ray_setups import Faulty, OddError

REQUESTS = [Request("query", tuple(Passage(f"d{i}", str(i)) for i in range(5)), qid) for qid in ("q1", "q2")]


class Table(dict[str, Any]):
    """As pyarrow's, as far as a worker reads it."""

    def __init__(self, requests: list[Request]) -> None:
        super().__init__(chunk=[self])
        self._requests = requests

    def as_py(self) -> bytes:
        return pickle.dumps(self._requests)


def answers(worker: Worker, requests: list[Request]) -> Any:
    [row] = worker(Table(requests))
    return pickle.loads(row["part"][0])


def test_a_chunk_comes_back_in_parts_and_in_order(tmp_path: Path) -> None:
    chunk = [Request("query", (Passage("a", "1"), Passage("b", "2")), f"q{i}") for i in range(2 * PART + 3)]
    worker = Worker(Faulty(folder=str(tmp_path)), pickle.dumps(None))
    parts = [pickle.loads(row["part"][0]) for row in worker(Table(chunk))]
    assert [len(part) for part in parts] == [PART, PART, 3]
    assert [ranking.qid for part in parts for ranking in part] == [request.qid for request in chunk]


@pytest.fixture
def store(tmp_path: Path) -> TextStore:
    build(tmp_path / "store.sqlite", [REQUESTS[0].passages], dict)
    return TextStore(tmp_path / "store.sqlite")


def test_texts_are_read_from_the_store_and_do_not_travel_back(tmp_path: Path, store: TextStore) -> None:
    found = answers(Worker(Faulty(folder=str(tmp_path)), pickle.dumps(store)), [_bare(request) for request in REQUESTS])
    assert [ranking.qid for ranking in found] == ["q1", "q2"]
    for ranking in found:
        assert isinstance(ranking, Ranking)
        assert [result.docid for result in ranking] == ["d4", "d3", "d2", "d1", "d0"]
        assert {result.passage.text for result in ranking} == {""}


def test_without_a_store_texts_travel_with_the_requests(tmp_path: Path) -> None:
    found = answers(Worker(Faulty(folder=str(tmp_path)), pickle.dumps(None)), REQUESTS)
    assert [result.passage for result in found[0]] == [*REQUESTS[0].passages[::-1]]


def test_a_worker_that_cannot_read_the_store_says_so(tmp_path: Path, store: TextStore) -> None:
    sent = pickle.dumps(store)
    worker = Worker(Faulty(folder=str(tmp_path)), sent)
    unknown = _bare(Request("query", (Passage("elsewhere", ""), Passage("d1", "")), "q3"))
    error = answers(worker, [unknown])
    assert isinstance(error, MachineError)
    assert "'q3': this worker finds only 1 of its 2 texts" in str(error)
    store.path.unlink()
    error = answers(Worker(Faulty(folder=str(tmp_path)), sent), [_bare(REQUESTS[0])])
    assert isinstance(error, MachineError)
    assert "FIRSTRANK_CACHE" in str(error)


def test_a_worker_without_its_model_says_so(tmp_path: Path) -> None:
    error = answers(Worker(Faulty(folder=str(tmp_path), fault="no model"), pickle.dumps(None)), REQUESTS)
    assert isinstance(error, InputError)
    assert str(error) == "there is no such model"


def test_errors_travel_as_what_they_are_or_as_their_message() -> None:
    assert isinstance(_portable(MachineError("disk full")), MachineError)
    for error in (OddError("q", 3), FormatError("file", 3, "odd")):
        travelled = pickle.loads(pickle.dumps(_portable(error)))
        assert str(travelled) == str(error)
        assert isinstance(travelled, InputError) == isinstance(error, InputError)


def test_a_batch_tells_where_its_texts_are(store: TextStore, tmp_path: Path) -> None:
    run = read_run("q1 Q0 d1 1 2 x\nq1 Q0 d2 2 1 x\n")
    tasks = RunTasks(run, {"q1": "query"}, store, 1)
    unfinished = Unfinished(tasks, {})  # type: ignore[arg-type]  # a journal that holds nothing
    assert unfinished.texts is store
    assert [request.qid for request in unfinished] == ["q1"]
    assert unfinished.tails == {"q1": ("d2",)}
    assert Unfinished([], {}).texts is None  # type: ignore[arg-type]  # likewise


class SlowRay:
    """Ray as it is on a busy machine: its start fails so often, in its own words."""

    def __init__(self, fails: int, said: str) -> None:
        self.left, self.said, self.started, self.ended = fails, said, 0, 0

    def init(self, **options: object) -> None:
        if self.left:
            self.left -= 1
            raise Exception(f"{self.said}\nmore of it")
        self.started += 1

    def kill_all_processes(self, **options: bool) -> None:
        self.ended += 1


def test_a_cluster_that_is_slow_to_start_is_started_again() -> None:
    ray = SlowRay(3, "The current node timed out during startup.")
    start_cluster(ray, 2)
    assert (ray.started, ray.ended) == (1, 3)
    with pytest.raises(MachineError, match=r"Ray does not start on this machine: The current node timed out during startup\. \(its logs: "):
        start_cluster(SlowRay(99, "The current node timed out during startup."), 2)
    once = SlowRay(1, "no shared memory")
    with pytest.raises(MachineError, match="no shared memory"):
        start_cluster(once, 2)
    assert (once.left, once.started) == (0, 0)
