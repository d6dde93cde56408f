"""What threads do one after another."""

from __future__ import annotations

import threading
import time

from firstrank.reranker.models.turns import FairLock


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_turn_goes_to_who_has_waited_longest():
    """Also when the one that gives it up asks again at once, as a busy model does."""
    lock, took = FairLock(), []

    def take(name: str) -> None:
        with lock:
            took.append(name)

    waiting = [threading.Thread(target=take, args=(name,)) for name in "bcd"]
    with lock:
        for place, thread in enumerate(waiting, 1):
            thread.start()
            wait_for(lambda place=place: len(lock._waiting) == place)
    with lock:
        took.append("a again")
    for thread in waiting:
        thread.join()
    assert took == ["b", "c", "d", "a again"]


def test_no_two_have_it_at_a_time():
    lock, inside, most = FairLock(), [], []

    def work() -> None:
        for _ in range(200):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) == 800


def test_an_error_inside_gives_the_turn_up():
    lock = FairLock()
    for _ in range(2):
        try:
            with lock:
                raise ValueError
        except ValueError:
            pass
    assert not lock._held
