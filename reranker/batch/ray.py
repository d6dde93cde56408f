"""Workers on Ray: `firstrank rerank --workers-on ray`.

Requests go out in chunks, through Ray Data, to a pool of long-lived actors that hold a Reranker each (on a core, a GPU, or
several). Each chunk comes back in parts as its queries are finished; the driver appends them to its journal (`reranker/batch/journal.py`),
which the output's writer merges in the order of the run. What travels is small: docids out, orders and scores back; the texts are
read by each worker from the store that the driver gathered, on a disk that both see. A worker that dies is replaced, and the chunks
that it held are ranked anew.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from firstrank.reranker.batch.tasks import Rank, Unfinished
from firstrank.reranker.errors import EngineLost, FirstrankError, InputError, MachineError, MissingExtra, ScorerError
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.setup import Setup
from firstrank.reranker.texts.sources import Texts, passages
from firstrank.reranker.types import Failure, Passage, Ranking, Request

CHUNK = 64
"""queries that a worker is given at once; it ranks two chunks at a time, so that the windows of one fill the other's gaps"""

PART = 8
"""results of a chunk that travel together: few, for what has not come yet is lost with a driver that is killed"""

_AT_ONCE = 2
_TRIES = 3  # of a chunk, beside the first: what kills its worker each time shall not do so for ever
_STARTS = 6  # tries of a cluster on this machine, for whose processes Ray waits 30 seconds: on a busy machine that may be too few
_HELD = 64  # chunks a worker that are read ahead; after so many for each, the pool is made anew


_LOGS = "its logs: /tmp/ray/session_latest/logs"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, what each of them takes, and on which cluster: None is a cluster on this machine, for this run alone."""

    number: int | None = None
    """by default as many as the cluster's GPUs, or cores, allow"""
    gpus: float | None = None
    """by default 1 where the cluster has any and the model is local"""
    cpus: int = 1
    address: str | None = None


@contextmanager
def ray_engine(setup: Setup, workers: Workers) -> Iterator[Rank]:
    """Ranks requests on Ray, in no particular order.

    Raises MissingExtra, InputError for workers that the cluster cannot hold or that cannot make their Reranker, EngineLost where
    a chunk failed on several workers.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)
    try:
        yield partial(_rank, setup, _placed(ray, setup, workers))
    finally:
        if started:
            ray.shutdown()


class Worker:
    """One Reranker in a process of its own. Ray Data makes it once, and calls it with a chunk at a time from two threads."""

    def __init__(self, setup: Setup, texts: bytes) -> None:
        self._fault: FirstrankError | None = None
        try:
            self._texts: Texts | None = pickle.loads(texts)
            self._reranker = Reranker(setup)
        except FirstrankError as error:
            self._fault = error

    def __call__(self, table: Any) -> Iterator[dict[str, list[bytes]]]:
        """A table with one chunk, as bytes; yields it in parts, in the order of its requests.

        So a chunk that is ranked anew gives the same parts again, and Ray passes on only those that had not come yet.
        """
        try:
            if self._fault is not None:
                raise self._fault
            requests: list[Request] = pickle.loads(table["chunk"][0].as_py())
            results = map(self._light, self._reranker.stream(map(self._whole, requests)))
            while part := list(islice(results, PART)):
                yield {"part": [pickle.dumps(part)]}
        except FirstrankError as error:
            yield {"part": [pickle.dumps(_portable(error))]}

    def _whole(self, request: Request) -> Request:
        """The request with its texts."""
        if self._texts is None:
            return request
        found = passages(self._texts, [passage.docid for passage in request.passages])
        if len(found) < len(request.passages):
            raise MachineError(f"query {request.qid!r}: this worker finds only {len(found)} of its {len(request.passages)} texts")
        return replace(request, passages=found)

    def _light(self, result: Ranking | Failure) -> Ranking | Failure:
        """The result without the texts that need not travel. A lost engine takes its worker with it: Ray makes another."""
        if isinstance(result, Failure):
            if isinstance(result.error, EngineLost):
                print(f"worker lost: {result.error}", flush=True)  # in Ray's log of this worker
                os._exit(1)
            return Failure(_bare(result.request) if self._texts else result.request, _portable(result.error))
        if self._texts is None:
            return result
        return replace(result, results=tuple(replace(one, passage=Passage(one.docid, "")) for one in result))


def _rank(setup: Setup, workers: Workers, requests: Iterable[Request]) -> Iterator[Ranking | Failure]:
    texts = requests.texts if isinstance(requests, Unfinished) else None
    waiting = iter(requests) if texts is None else map(_bare, requests)
    assert workers.number is not None
    while held := list(islice(waiting, _HELD * CHUNK * workers.number)):
        done = 0
        for part in _spread(setup, workers, texts, held):
            done += len(part)
            yield from part
        if done < len(held):
            raise EngineLost(f"Ray gave back {done} of {len(held)} queries")


def _spread(setup: Setup, workers: Workers, texts: Texts | None, requests: Sequence[Request]) -> Iterator[list[Ranking | Failure]]:
    """The requests in chunks (smaller ones where there is not enough for all workers) over a pool of actors; parts as they come."""
    assert workers.number is not None
    size = max(1, min(CHUNK, len(requests) // (2 * _AT_ONCE * workers.number)))
    chunks = [pickle.dumps(requests[i : i + size]) for i in range(0, len(requests), size)]
    with _faults():
        for row in _dataset(setup, workers, pickle.dumps(texts), chunks).iter_rows():
            part = pickle.loads(row["part"])
            if isinstance(part, Exception):
                raise part
            yield part


def _dataset(setup: Setup, workers: Workers, texts: bytes, chunks: list[bytes]) -> Any:
    """What Ray Data is to do, and with which actors."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    assert workers.number is not None
    pool = ActorPoolStrategy(
        size=min(workers.number, len(chunks)),
        max_tasks_in_flight_per_actor=_AT_ONCE,
        max_concurrent_calls_per_actor=_AT_ONCE,
        enable_true_multi_threading=True,
    )
    with DataContext.current(_quiet()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray 2.60 deprecates the arguments that bound tries, and has no others
        return from_items([{"chunk": chunk} for chunk in chunks], override_num_blocks=len(chunks)).map_batches(
            Worker,
            fn_constructor_args=(setup, texts),
            compute=pool,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            max_restarts=-1,
            max_task_retries=_TRIES,
        )


def _quiet() -> Any:
    """Ray Data's settings: no bars, no bundling, each result on its way as soon as it is there."""
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


@contextmanager
def _faults() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise EngineLost(f"Ray: {_first_line(error)} ({_LOGS}); finished queries are kept") from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray", "ray", "--workers-on ray") from error
    return ray


def _connect(ray: Any, workers: Workers) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if workers.address is not None:
        try:
            ray.init(address=workers.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"--address {workers.address}: no Ray cluster answers there: {error}") from error
        return
    start_cluster(ray, max(os.cpu_count() or 1, (workers.number or 0) * workers.cpus))


def start_cluster(ray: Any, cores: int) -> None:
    """A cluster on this machine. Raises MachineError where it does not start."""
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "300")
    for left in reversed(range(_STARTS)):
        try:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            return
        except Exception as error:  # Ray's own has no class
            _end(error)
            if not left or "timed out" not in str(error).lower():
                raise MachineError(f"Ray does not start on this machine: {_first_line(error)} ({_LOGS})") from error
            _log.info("Ray was slow to start; trying again")


def _end(error: Exception) -> None:
    """Ends what a node had started that raised this: nobody else has it."""
    trace = error.__traceback__
    while trace is not None:
        node = trace.tb_frame.f_locals.get("self")
        if (end := getattr(node, "kill_all_processes", None)) is not None:
            end(check_alive=False, allow_graceful=False)
        trace = trace.tb_next


def _placed(ray: Any, setup: Setup, workers: Workers) -> Workers:
    """The workers with all numbers settled. Raises InputError where the cluster has not what one of them takes."""
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    local_model = setup.is_local and getattr(setup.backend, "device", None) != "cpu"
    wanted = workers.gpus if workers.gpus is not None else float(bool(gpus) and local_model)
    room = int(min(gpus // wanted if wanted else cpus, cpus // workers.cpus))
    number = room if workers.number is None else workers.number
    if not 1 <= number <= room:
        raise InputError(
            f"--workers {number}: the cluster has room for {room} (it has {cpus:g} cores and {gpus:g} GPUs; "
            f"a worker takes {workers.cpus} and {wanted:g}: --threads, --gpus-per-worker)"
        )
    return replace(workers, number=number, gpus=wanted)


def _bare(request: Request) -> Request:
    return replace(request, passages=tuple(Passage(passage.docid, "") for passage in request.passages))


def _portable(error: Exception) -> Exception:
    """The error, if another process can read it; else one of its kind with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        kind = next((known for known in (InputError, MachineError) if isinstance(error, known)), ScorerError)
        return kind(str(error) or type(error).__name__)
    return error
