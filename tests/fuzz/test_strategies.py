"""A strategy ends with each candidate once, in legal windows, whatever its scorer says: ties, contradictions, the largest of numbers."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.register import STRATEGIES, parse_strategy
from tests.reranker.strategies.driver import drive

NAMES = sorted(STRATEGIES)
VALUES = [0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, -3.4e38, 1.0000001]
MOST_WINDOWS = 20_000


def liar(seed: int, kind: str):
    """Scores that agree with nothing, not even with themselves."""
    draw = random.Random(seed)

    def answer(window: tuple[int, ...]) -> list[float]:
        if kind == "equal":
            return [0.0] * len(window)
        if kind == "backward":
            return [float(index) for index in window]
        if kind == "place":
            return [-float(place) for place in range(len(window))]
        return [draw.choice(VALUES) for _ in window]

    return answer


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(
    n=st.integers(0, 90),
    window=st.integers(2, 30),
    share=st.floats(0, 1),
    passes=st.integers(1, 3),
    top_k=st.one_of(st.none(), st.integers(1, 140)),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["random", "equal", "backward", "place"]),
    most=st.integers(1, 128),
)
def test_any_scorer_is_survived(name, n, window, share, passes, top_k, seed, kind, most):
    stride = max(1, round(share * window))
    try:
        strategy = parse_strategy(name, window=window, stride=stride, passes=passes, top_k=top_k)
        driven = drive(strategy, n, liar(seed, kind), seed=seed, max_window=min(most, max(n, 1)))
    except InputError:  # what cannot be guaranteed
        return
    assert sorted(driven.outcome.order) == list(range(n))
    assert 0 <= driven.outcome.certified <= n
    assert len(driven.windows) <= MOST_WINDOWS
    for asked in driven.windows:
        assert 0 < len(asked) == len(set(asked)) <= most
        assert set(asked) <= set(range(n))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(given_text=st.text(st.sampled_from("=,:0123456789.-+eknrof astwidpuhlg é∞"), max_size=30))
def test_any_text_after_a_name_is_a_strategy_or_an_input_error(name, given_text):
    with suppress(InputError):
        assert callable(parse_strategy(f"{name}:{given_text}"))
