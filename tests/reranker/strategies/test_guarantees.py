"""With a perfect oracle, what a strategy certifies is right: for any list, any grades, any legal window and stride."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.blitz import blitz
from firstrank.reranker.strategies.consistent import consistent
from firstrank.reranker.strategies.full import full
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.strategies.sliding import sliding
from firstrank.reranker.strategies.topdown import topdown
from firstrank.reranker.strategies.tournament import tournament
from firstrank.reranker.types import UNBOUNDED
from tests.reranker.strategies.driver import Driven, drive, truth

GRADES = 5


def graded(n: int, seed: int, distinct: bool = False) -> list[int]:
    """Grades with many ties (or none), in a random order."""
    draw = random.Random(seed)
    return draw.sample(range(n), n) if distinct else [draw.randrange(GRADES) for _ in range(n)]


def ranked(strategy, grades, **view) -> Driven:
    """The strategy over a perfect oracle; its answer is checked for what must always hold."""
    n = len(grades)
    driven = drive(strategy, n, lambda window: [grades[i] for i in window], **view)
    assert sorted(driven.outcome.order) == list(range(n))
    assert 0 <= driven.outcome.certified <= n
    right = truth(grades)
    assert list(driven.outcome.order[: driven.outcome.certified]) == right[: driven.outcome.certified]
    for window in driven.windows:
        assert len(set(window)) == len(window) > 0
    return driven


sizes = st.integers(1, 300)
seeds = st.integers(0, 2**32)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@quick
@given(sizes, st.integers(2, 60), st.data(), seeds, st.integers(1, 4), st.booleans())
def test_sliding_certifies_passes_times_what_it_hands_on(n, window, data, seed, passes, distinct):
    stride = data.draw(st.integers(1, window), "stride")
    driven = ranked(sliding(window, stride, passes), graded(n, seed, distinct))
    promised = n if n <= window else min(n, passes * (window - stride))
    assert driven.outcome.certified >= promised
    assert max(map(len, driven.windows)) <= window


@settings(quick, max_examples=30)
@given(sizes, st.integers(2, 40), st.integers(1, 300), seeds, st.booleans())
@pytest.mark.parametrize("make", [tournament, blitz])
def test_tournament_and_blitz_certify_any_top_k(make, n, window, top_k, seed, distinct):
    driven = ranked(make(window, top_k=top_k), graded(n, seed, distinct))
    assert driven.outcome.certified >= min(top_k, n)
    assert max(map(len, driven.windows), default=0) <= window


@quick
@given(sizes, st.integers(2, 40), st.data(), seeds, st.booleans())
def test_topdown_certifies_any_k_below_the_window(n, window, data, seed, distinct):
    k = data.draw(st.integers(1, window - 1), "k")
    driven = ranked(topdown(window, k=k, top_k=k), graded(n, seed, distinct))
    assert driven.outcome.certified >= min(k, n)
    assert max(map(len, driven.windows)) <= window


@quick
@given(sizes, seeds, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 400)))
def test_full_certifies_everything(n, seed, passes, top_k):
    assert ranked(full(passes, top_k), graded(n, seed)).outcome.certified == n


@quick
@given(sizes, st.integers(2, 40), seeds, st.integers(1, 3), st.sampled_from(["borda", "kemeny"]))
def test_consistent_certifies_what_it_wraps(n, window, seed, shuffles, aggregate):
    inner = sliding(window)
    driven = ranked(consistent(inner, shuffles, aggregate), graded(n, seed), seed=seed)
    assert driven.outcome.certified >= (n if n <= window else min(n, window - window // 2))


@quick
@given(st.integers(1, 120), st.integers(2, 30), st.integers(1, 30), seeds)
def test_a_budget_certifies_nothing_only_where_it_cut(n, window, budget, seed):
    driven = ranked(topdown(window, budget=budget), graded(n, seed))
    assert (driven.outcome.certified == 0) == bool(driven.outcome.notes)


@quick
@given(st.lists(st.integers(1, 50), min_size=1, max_size=150), st.integers(100, 1000), st.integers(2, 60), seeds, st.integers(1, 3))
@pytest.mark.parametrize("name", ["sliding", "topdown", "tournament", "blitz", "consistent"])
def test_windows_that_are_auto_fill_the_context_and_no_more(name, lengths, room, most, seed, passes):
    strategy = parse_strategy(f"{name}:window=auto", passes=passes)
    driven = ranked(strategy, graded(len(lengths), seed), lengths=lengths, room=room, max_window=most)
    assert all(len(window) <= most and sum(lengths[i] for i in window) <= room for window in driven.windows)
    if name != "sliding":
        return
    for window in driven.windows[:1]:  # one more would not have fitted
        earlier = min(window) - 1
        assert earlier < 0 or len(window) == most or sum(lengths[i] for i in (*window, earlier)) > room


def test_auto_reads_short_passages_in_fewer_windows():
    long_and_short = [90] * 50 + [10] * 50
    fixed = ranked(sliding(10), graded(100, 0))
    auto = ranked(sliding("auto"), graded(100, 0), lengths=long_and_short, room=900, max_window=100)
    assert len(auto.windows) < len(fixed.windows)
    assert len(auto.windows[0]) == 54  # 50 x 10 tokens, and 4 x 90
    assert auto.outcome.certified == 5  # half of the 10 that fit whichever they are


def legal() -> Iterator[tuple[int, int, int]]:
    for n in range(1, 8):
        for window in range(2, 8):
            for stride in range(1, window):
                yield n, window, stride


def test_an_early_stop_is_right_for_every_order_of_a_short_list():
    """Whatever order the candidates come in, a pass that changed nothing in the top k has settled it."""
    for n, window, stride in legal():
        if n > 5 or window > n:
            continue
        for grades in permutations(range(n)):
            for top_k in range(1, n + 1):
                passes = -(-top_k // (window - stride))
                driven = ranked(sliding(window, stride, passes, top_k), grades)
                assert driven.outcome.certified >= top_k


def test_an_early_stop_saves_the_passes_that_would_change_nothing():
    sorted_already = list(range(100, 0, -1))
    assert len(ranked(sliding(passes=5), sorted_already).windows) == 9
    assert ranked(sliding(passes=5), sorted_already).outcome.certified == 100
    assert len(ranked(full(passes=5), sorted_already).windows) == 1
    late = sorted_already[:20] + sorted_already[20:][::-1]
    assert len(ranked(sliding(passes=5, top_k=10), late).windows) == 9
    assert len(ranked(sliding(passes=5), late).windows) == 45


@pytest.mark.parametrize(
    ("make", "n", "message"),
    [
        (lambda: sliding(20, 10, 1, top_k=25), 100, "passes=3 would do"),
        (lambda: sliding(20, 5, 2, top_k=31), 100, "passes=3 would do"),
        (lambda: sliding(20, 20, 1, top_k=1), 100, "stride must be smaller"),
        (lambda: topdown(20, top_k=20), 100, "k may be up to 19"),
        (lambda: topdown(20, budget=20, top_k=10), 100, "leave it out"),
        (lambda: topdown(20, budget=20, top_k=1), 100, "leave it out"),
        (lambda: topdown(20, budget=19, top_k=5), 20, None),
        (lambda: topdown(20, budget=100, top_k=5), 100, None),
        (lambda: topdown(20, budget=1), 100, None),
        (lambda: topdown(20, top_k=20), 20, None),
        (lambda: tournament(20, k=5, top_k=10), 100, "k=10 would do"),
        (lambda: blitz(20, k=5, top_k=10), 100, "k=10 would do"),
        (lambda: consistent(sliding(20, 10), 2, "borda"), 300, None),
        (lambda: consistent(sliding(20, 10, 1, top_k=11), 2, "borda"), 300, "passes=2 would do"),
        (lambda: full(), 300, "use depth 128"),
        (lambda: sliding(129, 10), 300, "use window=128"),
    ],
)
def test_what_cannot_be_guaranteed_is_refused_with_what_would_do(make, n, message):
    if message is None:
        ranked(make(), graded(n, 1), max_window=128)
        return
    with pytest.raises(InputError, match=message):
        ranked(make(), graded(n, 1), max_window=128)


@pytest.mark.parametrize(
    "name", ["sliding", "topdown", "tournament", "blitz", "consistent", "sliding:window=5,stride=5", "topdown:budget=10"]
)
def test_without_top_k_every_length_is_legal(name):
    for n in range(1, 301, 7):
        ranked(parse_strategy(name, window=20, stride=10, passes=1), graded(n, n))


@pytest.mark.slow
@pytest.mark.parametrize("window", [2, 3, 4, 5, 6, 7, 8, 9, 10, 20])
def test_every_length_and_stride_of_sliding(window):
    for n in range(1, 301):
        for stride in range(1, window + 1):
            passes = 1 + (n + window + stride) % 3
            driven = ranked(sliding(window, stride, passes), graded(n, n * window + stride, n % 2 == 0))
            assert driven.outcome.certified >= (n if n <= window else min(n, passes * (window - stride)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [tournament, blitz, topdown])
def test_every_length(make):
    for n in range(1, 301):
        for top_k in sorted({1, 7, 19, n // 2 + 1, n}):
            for window in (5, 20):
                if not (make is topdown and top_k >= window):
                    driven = ranked(make(window, top_k=top_k), graded(n, n + top_k, n % 2 == 0))
                    assert driven.outcome.certified >= min(top_k, n)


def test_the_room_of_a_view_is_unbounded_unless_a_scorer_says_so():
    assert len(ranked(sliding("auto"), graded(50, 0), max_window=128).windows) == 1
    assert UNBOUNDED > 10**9
