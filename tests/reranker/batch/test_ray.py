"""Workers on Ray: a real local cluster of two (make test-ray)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firstrank.reranker.batch.ray import Workers, ray_engine, start_cluster
from firstrank.reranker.errors import EngineLost, InputError, ScorerError
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Failure, Ranking, Request
from tests.processes import children, descendants, wait_until_gone
from tests.reranker.batch.ray_setups import Faulty
from tests.reranker.fakes import request

pytestmark = pytest.mark.ray

QUERIES = 40
LONG = 72
"""queries of a run that is killed twice: enough that there is work left both times, on a fast machine too"""


PATIENT = 900
"""seconds: how long a test waits for what has to come; other suites may have the cores and the memory meanwhile"""


@pytest.fixture(scope="module", autouse=True)
def patient_clusters() -> Iterator[None]:
    """Clusters that give a process time to start, end none because others fill the memory, and start none that has nothing to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_register_timeout_seconds", str(PATIENT))
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        patch.setenv("RAY_prestart_worker_first_driver", "0")
        yield


@pytest.fixture(scope="class")
def cluster() -> Iterator[None]:
    """One cluster for all tests that rank in this process; `ray_engine` finds it running and leaves it. It ends before others begin."""
    import ray

    start_cluster(ray, 2)
    yield
    ray.shutdown()


def ranked(setup: Setup, requests: list[Request]) -> dict[str, Ranking | Failure]:
    with ray_engine(setup, Workers(2)) as rank:
        results = list(rank(iter(requests)))
    assert sorted(result.qid for result in results) == sorted(request.qid for request in requests)
    return {result.qid: result for result in results}


REQUESTS = [request(10, f"q{i}") for i in range(QUERIES)]
REVERSED = [f"d{i}" for i in range(9, -1, -1)]


@pytest.mark.usefixtures("cluster")
class TestInProcess:
    def test_rankings_keep_what_came_with_the_requests(self, tmp_path: Path) -> None:
        found = ranked(Faulty(folder=str(tmp_path)), REQUESTS)
        assert all(isinstance(result, Ranking) and [one.docid for one in result] == REVERSED for result in found.values())
        assert found["q3"].results[0].passage == REQUESTS[3].passages[9]
        assert len(list(tmp_path.glob("opened*"))) <= 2  # a Reranker a worker, however many chunks

    @pytest.mark.parametrize("fault", ["killed once", "lost once"])
    def test_a_worker_that_dies_is_replaced_and_its_queries_done_again(self, fault: str, tmp_path: Path) -> None:
        found = ranked(Faulty(folder=str(tmp_path), qid="q7", fault=fault), REQUESTS)
        assert all(isinstance(result, Ranking) and [one.docid for one in result] == REVERSED for result in found.values())
        assert len(list(tmp_path.glob("scored*"))) == 2
        assert len(list(tmp_path.glob("opened*"))) >= 2

    def test_parts_that_came_before_a_worker_died_do_not_come_twice(self, tmp_path: Path) -> None:
        many = [request(10, f"q{i}") for i in range(160)]  # in chunks of 20; the first has sent two parts when it dies
        found = ranked(Faulty(folder=str(tmp_path), qid="q17", fault="killed once"), many)
        assert all(isinstance(result, Ranking) for result in found.values())
        assert len(list(tmp_path.glob("scored*"))) == 2

    def test_a_query_that_fails_is_a_failure_and_its_neighbours_are_ranked(self, tmp_path: Path) -> None:
        found = ranked(Faulty(folder=str(tmp_path), qid="q7", fault="fails"), REQUESTS)
        failure = found.pop("q7")
        assert isinstance(failure, Failure)
        assert isinstance(failure.error, ScorerError)  # the scorer's own error cannot leave its process
        assert str(failure.error) == "query 'q7' failed 3 times"
        assert failure.request == REQUESTS[7]
        assert all(isinstance(result, Ranking) for result in found.values())

    def test_what_kills_every_worker_ends_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(EngineLost, match="finished queries are kept"):
            ranked(Faulty(folder=str(tmp_path), qid="q7", fault="lost always"), REQUESTS)
        assert len(list(tmp_path.glob("scored*"))) == 4  # once, and three times again

    def test_bad_input(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no such model"):
            ranked(Faulty(folder=str(tmp_path), fault="no model"), REQUESTS)
        with (
            pytest.raises(InputError, match=r"--workers 3: the cluster has room for 2 \(it has 2 cores and 0 GPUs"),
            ray_engine(Setup(), Workers(3)),
        ):
            pass
        with pytest.raises(InputError, match="room for 0"), ray_engine(Setup(), Workers(gpus=1)):
            pass
        with ray_engine(Setup.of(backend="oracle", qrels={}), Workers(2)) as rank:
            assert list(rank(iter([]))) == []


# ---- The command line: a driver of its own each time, for it is killed.


def workers_of(driver: subprocess.Popen[str]) -> list[int]:
    return [pid for pid, line in children(driver.pid) if line.startswith("ray::") and "Worker" in line]


def until(condition: Callable[[], Any], driver: subprocess.Popen[str], seconds: float = PATIENT) -> Any:
    """What `condition` gives once it is true, while the driver lives."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, list(children(driver.pid))
        time.sleep(0.01)
    return found


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> list[str]:
    """`firstrank rerank` of several hundred windows, at one thread."""
    with (tmp_path / "corpus.jsonl").open("w") as corpus:
        for i in range(200):
            corpus.write(json.dumps({"_id": f"d{i}", "text": f"passage {i} of {'many words ' * (3 * (i % 7))}"}) + "\n")
    (tmp_path / "queries.tsv").write_text("".join(f"q{i}\tquery number {i}\n" for i in range(LONG)))
    with (tmp_path / "run.trec").open("w") as run:
        for i in range(LONG):
            run.writelines(f"q{i} Q0 d{(7 * i + 3 * rank) % 200} {rank + 1} {-rank} x\n" for rank in range(40))
    inputs = {"--run": "run.trec", "--queries": "queries.tsv", "--corpus": "corpus.jsonl"}
    given = [part for name, file in inputs.items() for part in (name, str(tmp_path / file))]
    options = ["--model", str(tiny_model), "--threads", "1", "--depth", "30", "--window", "6", "--stride", "3"]
    return [sys.executable, "-c", "from firstrank.reranker.cli import main; main()", "rerank", *given, *options]


def test_bytes_are_those_of_a_local_run_whoever_is_killed(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Driver killed midway, run again (it resumes), a worker killed midway: the output is the local run's to the byte."""
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    local, output = tmp_path / "local.trec", tmp_path / "ray.trec"
    journal = tmp_path / "ray.trec.part.jsonl"
    subprocess.run([*command, "--output", str(local)], check=True, capture_output=True)
    on_ray = [*command, "--output", str(output), "--workers-on", "ray", "--workers", "2"]

    @contextmanager
    def start() -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(on_ray, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
            try:
                yield driver
            finally:
                driver.kill()  # or what failed here would wait for it

    def finished() -> int:
        return max(journal.read_bytes().count(b"\n") - 1, 0) if journal.exists() else 0

    with start() as driver:
        until(lambda: finished() >= 1, driver)
        started = descendants(driver.pid)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    kept = finished()
    assert 1 <= kept < LONG
    assert not output.exists()
    wait_until_gone(started, PATIENT)  # Ray's agents look now and then whether what they serve is still there

    with start() as driver:
        until(lambda: finished() > kept, driver)
        os.kill(until(lambda: workers_of(driver), driver)[0], signal.SIGKILL)
        _, said = driver.communicate(timeout=PATIENT)
    assert driver.returncode == 0, said
    assert f"resuming: {kept} of {LONG} queries are done already" in said
    assert output.read_bytes() == local.read_bytes()
    assert not journal.exists()
