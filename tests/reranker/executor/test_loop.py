"""The loop on its own thread: what is left of it when it is closed."""

from __future__ import annotations

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from firstrank.reranker import Reranker
from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.loop import LoopThread
from tests.reranker.fakes import FakeScorer


def test_closing_cancels_what_still_runs_and_lets_it_end():
    """An engine's own tasks live on the loop; destroyed while pending, they would say so on standard error."""
    ended = []

    async def forever():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        ended.append(True)

    async def start():
        return asyncio.get_running_loop().create_task(forever())

    loop = LoopThread()
    task = loop.run(start())
    loop.close()
    loop.close()
    assert task.done()
    assert ended == [True]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def threads_of(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_a_loop_that_is_dropped_ends_its_thread_and_frees_its_files():
    async def nothing():
        pass

    before, files = threads_of("firstrank-loop"), open_files()
    for _ in range(20):
        loop = LoopThread()
        loop.run(nothing())
    del loop
    gc.collect()
    for _ in range(100):
        if threads_of("firstrank-loop") <= before:
            break
        time.sleep(0.05)
    assert threads_of("firstrank-loop") <= before  # one that an earlier test dropped may end meanwhile
    assert open_files() <= files


def in_a_child(work) -> str:
    """What `work` gives in a forked process, or the error that it raises; a child that hangs is killed."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(20)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


DOCUMENTS = ["1", "2"]


@pytest.mark.parametrize("used", [False, True])
def test_a_forked_child_says_at_once_that_its_reranker_is_another_process_s(used):
    with Reranker(FakeScorer()) as reranker:
        if used:
            reranker.rank("q", DOCUMENTS)
        calls = {
            "rank": lambda: reranker.rank("q", DOCUMENTS),
            "many": lambda: list(reranker.rank_many([("q", DOCUMENTS)])),
            "async": lambda: asyncio.run(reranker.rank_async("q", DOCUMENTS)),
        }
        for call in calls.values():
            assert in_a_child(call).startswith("InputError: this Reranker was made in another process")
        assert in_a_child(reranker.close) == "None"
        assert in_a_child(lambda: len(Reranker(FakeScorer()).rank("q", DOCUMENTS))) == "2"
        assert len(reranker.rank("q", DOCUMENTS)) == 2


def test_a_pool_that_forks_gives_the_sentence_and_no_wait():
    with Reranker(FakeScorer()) as reranker:
        _INHERITED["reranker"] = reranker
        with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(InputError, match="made in another process"):
            pool.map_async(_first, ["q"]).get(timeout=300)


_INHERITED: dict[str, Reranker] = {}


def _first(query: str) -> str:
    return _INHERITED["reranker"].rank(query, DOCUMENTS)[0].docid


def test_a_reranker_is_not_pickled_nor_copied_and_says_what_is():
    with Reranker(FakeScorer()) as reranker:
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(InputError, match="pass a Setup, and make Reranker"):
                way(reranker)


def test_a_dropped_reranker_leaves_no_thread():
    before = threading.active_count()
    for _ in range(5):
        Reranker(FakeScorer()).rank("q", DOCUMENTS)
    gc.collect()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_an_interrupt_in_the_middle_of_a_step_ends_the_iteration_and_nothing_else_is_raised():
    """The step is cancelled, and takes a while to end; only then can the iterator be closed."""
    ended = []

    async def items():
        try:
            yield 1
            await asyncio.sleep(20)
        finally:
            await asyncio.sleep(0.1)
            ended.append(True)

    def interrupt(*_):
        raise KeyboardInterrupt

    loop, before = LoopThread(), signal.signal(signal.SIGALRM, interrupt)
    try:
        found = loop.iterate(items())
        assert next(found) == 1
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            next(found)
    finally:
        signal.signal(signal.SIGALRM, before)
        loop.close()
    assert ended == [True]
