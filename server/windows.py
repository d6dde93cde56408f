"""What a request may ask for, and how many windows that takes, found out before any is scored."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import too_many_windows
from firstrank.reranker.strategies.register import either
from firstrank.reranker.strategies.schedule import SLIDING, Schedule
from firstrank.reranker.types import Scores, Strategy, View

_MOST_REPEATS = 16
"""a request may not ask for more shuffles or passes: each repeats all its windows"""
_LABELS = 128


def asked_schedule(schedule: Schedule, name: str | None, allowed: Collection[str]) -> Schedule:
    """A model's schedule, with the strategy that a request names.

    Raises InputError for a strategy that does not exist, that is not allowed, or that repeats itself too often.
    """
    if name is None:
        return schedule
    own = (schedule.strategy or SLIDING).partition(":")[0]
    head, _, rest = name.partition(":")
    pairs = {key.strip(): value.strip() for key, _, value in (pair.partition("=") for pair in rest.split(","))}
    changed = replace(schedule, strategy=name)
    for repeated in ("shuffles", "passes"):
        with suppress(ValueError):  # what is no number, the strategy itself refuses
            if int(pairs.get(repeated, "1")) > _MOST_REPEATS:
                raise InputError(f"strategy {name!r}: {repeated} may be {_MOST_REPEATS} at most in a request")
    changed.build()
    for one in (head.strip(), pairs.get("of", own)):
        if one not in allowed and one != own:
            raise InputError(f"strategy {one!r} is not allowed here; use {', '.join(sorted({*allowed, own}))} (the setting strategies)")
    return changed


def strategy_of(schedule: Schedule, top_n: int | None, n: int) -> Strategy:
    """The schedule's strategy. It may stop early where the best `top_n` of n are wanted and it can vouch for them."""
    whole = schedule.build()
    if top_n and top_n < n:
        with suppress(InputError):
            return either(schedule.build(top_n), whole)
    return whole


@lru_cache(256)
def windows_of(schedule: Schedule, top_n: int | None, n: int, most: int) -> int:
    """Windows that n candidates take, tried out on scores that agree with their order; a strategy that decides as it goes may take others.

    Raises InputError for more than `most`.
    """
    strategy = strategy_of(schedule, top_n, n)
    run = strategy(View(n, (1,) * n, min(n, _LABELS), 0))
    count = 0
    try:
        windows = next(run)
        while True:
            count += len(windows)
            if count > most:
                raise InputError(too_many_windows(schedule.strategy or SLIDING, n, most))
            windows = run.send([Scores(tuple(-float(index) for index in window)) for window in windows])
    except StopIteration:
        return count
    finally:
        run.close()
