"""Strategies by name: keys, defaults, wrappers, and what is refused with a reason."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.register import STRATEGIES, check_strategy, either, parse_strategy, said_in
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Outcome
from tests.reranker.strategies.driver import drive

VALUES = [i * 37 % 100 for i in range(100)]


def cost(strategy, n=100, **view):
    """(windows, rounds, passages) over a perfect oracle."""
    driven = drive(strategy, n, lambda window: [VALUES[i] for i in window], **view)
    return len(driven.windows), len(driven.rounds), sum(map(len, driven.windows))


def test_the_name_says_it_all():
    assert cost(parse_strategy("sliding")) == (9, 9, 180)
    assert cost(parse_strategy("sliding:window=10,stride=5")) == (19, 19, 190)
    assert cost(parse_strategy(" sliding : passes = 2 ")) == (18, 18, 360)
    assert cost(parse_strategy("sliding", window=40, stride=20, passes=1)) == (4, 4, 160)
    assert cost(parse_strategy("consistent:of=sliding,shuffles=3,window=50,stride=25")) == (9, 3, 450)
    assert parse_strategy("topdown:k=5").name == "topdown:k=5"


def test_a_window_in_the_name_has_its_own_stride():
    assert cost(parse_strategy("sliding:window=10", window=20, stride=10)) == (19, 19, 190)
    assert cost(parse_strategy("sliding:window=auto", window=20, stride=10)) == (1, 1, 100)


def test_one_shuffle_of_consistent_asks_what_it_wraps_would():
    for name in STRATEGIES:
        if name not in ("consistent", "full"):
            assert cost(parse_strategy(f"consistent:of={name},shuffles=1"))[2] <= 2 * cost(parse_strategy(name))[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slidng", "use sliding, full, topdown"),
        ("sliding:windw=20", "unknown key 'windw'; use window, stride, passes, top_k"),
        ("sliding:window", "not key=value"),
        ("sliding:window=20,window=10", "given twice"),
        ("sliding:window=many", "window is a whole number or auto"),
        ("sliding:window=1", "at least 2 candidates"),
        ("sliding:stride=0", "stride=0: must be at least 1"),
        ("sliding:window=10,stride=11", "never be read"),
        ("sliding:window=auto,stride=5", "leave it out with window=auto"),
        ("sliding:passes=0", "passes=0: must be at least 1"),
        ("topdown:k=20", "k=20 must be smaller than window=20"),
        ("topdown:k=10,budget=5", "the best k would not fit"),
        ("consistent:of=nothing", "unknown strategy 'nothing'"),
        ("consistent:aggregate=mean", "aggregate is borda or kemeny"),
        ("consistent:shuffles=0", "shuffles=0"),
        ("full:window=20", "unknown key 'window'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(text, message):
    with pytest.raises(InputError, match=message):
        parse_strategy(text)


def test_a_top_k_is_checked_before_any_work():
    with pytest.raises(InputError, match="passes=2 would do"):
        check_strategy(parse_strategy("sliding", top_k=15), 100, 20)
    check_strategy(parse_strategy("sliding", top_k=15), 20, 20)


@pytest.mark.parametrize(
    ("schedule", "passages"),
    [
        (Schedule(), 180),
        (Schedule(window=10), 190),
        (Schedule(window=10, stride=2), 460),
        (Schedule(stride=5), 340),
        (Schedule(window="auto"), 100),
        (Schedule(passes=2), 360),
    ],
)
def test_what_a_caller_leaves_out_is_20_10_1(schedule, passages):
    from firstrank.reranker.models.spec import ModelSpec

    assert cost(schedule.build())[2] == cost(schedule.completed(ModelSpec().schedule).build())[2] == passages


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        (Schedule(), "topdown:k=3"),
        (Schedule(window=12), "topdown:k=3"),
        (Schedule(stride=5), "sliding"),
        (Schedule(passes=2), "sliding"),
        (Schedule("tournament", stride=5), "tournament"),
    ],
)
def test_the_model_s_strategy_holds_where_none_is_asked_for(schedule, name):
    from firstrank.reranker.models.spec import ModelSpec

    assert schedule.completed(ModelSpec(strategy="topdown:k=3").schedule).strategy == name


OWN = Schedule("topdown:k=3", 20, 8, 2)


@pytest.mark.parametrize(
    ("said", "completed"),
    [
        (Schedule(), Schedule("topdown:k=3", 20, 8, 2)),
        (Schedule(window=30), Schedule("topdown:k=3", 30, 8, 2)),
        (Schedule(window=12), Schedule("topdown:k=3", 12, 6, 2)),
        (Schedule(window=3), Schedule("topdown:k=3", 3, 1, 2)),
        (Schedule(window=1), Schedule("topdown:k=3", 1, 1, 2)),
        (Schedule(window="auto"), Schedule("topdown:k=3", "auto", None, 2)),
        (Schedule(stride=5), Schedule("sliding", 20, 5, 2)),
        (Schedule(passes=0), Schedule("sliding", 20, 8, 0)),
        (Schedule("full", top_k=4, seed=7), Schedule("full", 20, 8, 2, 4, 7)),
    ],
)
def test_what_is_said_stays_and_the_rest_is_the_model_s(said, completed):
    assert said.completed(OWN) == completed
    assert said.completed(Schedule()).stride == said.stride


def test_a_number_of_0_is_refused_and_not_taken_for_none():
    for schedule, said in ((Schedule(passes=0), "passes=0"), (Schedule(stride=0), "stride=0"), (Schedule(top_k=0), "top_k=0")):
        with pytest.raises(InputError, match=said):
            schedule.build()
    with pytest.raises(InputError, match="top_k=0"):
        Schedule(top_k=5).build(0)
    with pytest.raises(InputError, match="passes=2 would do"):
        check_strategy(Schedule(top_k=15).build(), 100, 20)
    check_strategy(Schedule(top_k=15).build(5), 100, 20)


def test_which_numbers_a_strategy_has_and_which_its_text_says():
    inner = {"window", "k", "budget", "top_k"}
    assert said_in("topdown:k=5,window=auto") == (inner, {"k", "window"})
    assert said_in("consistent:of=topdown,k=5") == ({"of", "shuffles", "aggregate"} | inner, {"of", "k"})
    assert said_in("full") == ({"passes", "top_k"}, set())


def test_a_strategy_that_needs_no_window_is_ended_where_it_ends():
    def at_once(view):
        return Outcome(list(range(view.n)), view.n)
        yield

    assert drive(either(at_once, parse_strategy("full")), 3, by_number).outcome == Outcome([0, 1, 2], 3)
    found = drive(either(parse_strategy("sliding"), parse_strategy("full")), 30, by_number)
    assert found == drive(parse_strategy("sliding"), 30, by_number)


def by_number(window):
    return [float(i) for i in window]


@pytest.mark.parametrize("top_k", [3, 8, 15, 29])
@pytest.mark.parametrize("lengths", [(1,) * 30, (40,) * 30, tuple(range(10, 40))])
def test_a_strategy_stops_early_only_where_it_can_vouch_for_this_request(top_k, lengths):
    """Whether it can depends on the request's own lengths: `auto` makes windows of what fits."""
    schedule = Schedule("sliding", "auto")
    found = drive(either(schedule.build(top_k), schedule.build()), 30, by_number, lengths=lengths, room=200)
    whole = drive(schedule.build(), 30, by_number, lengths=lengths, room=200)
    assert sorted(found.outcome.order) == list(range(30))
    assert found.outcome.certified >= min(top_k, whole.outcome.certified)


def test_what_the_first_strategy_refuses_the_second_ranks():
    short = either(parse_strategy("sliding:window=20,stride=10", top_k=15), parse_strategy("full"))
    for n in (20, 100):
        assert drive(short, n, by_number).windows == drive(parse_strategy("full"), n, by_number).windows


def test_auto_with_a_stride_is_refused():
    with pytest.raises(InputError, match="leave it out with window=auto"):
        Schedule(window="auto", stride=5).build()


def test_adding_a_strategy_is_a_function_and_a_line(monkeypatch):
    """As docs/strategies.md shows it."""
    from firstrank.reranker.strategies.windows import by_score

    def once(window: int = 20):
        def strategy(view):
            head = tuple(range(min(window, view.n)))
            [scores] = yield [head]
            return Outcome([*by_score(head, scores), *range(len(head), view.n)], certified=0)

        return strategy

    monkeypatch.setitem(STRATEGIES, "once", once)
    assert cost(parse_strategy("once:window=30")) == (1, 1, 30)
    assert cost(parse_strategy("consistent:of=once,shuffles=4")) == (4, 1, 80)


def disagreement(order, orders):
    """Pairs in which `order` contradicts `orders`, summed over them: what Kemeny minimises."""
    places = [{i: place for place, i in enumerate(one)} for one in orders]
    return sum(place[i] > place[j] for place in places for i, j in combinations(order, 2))


def test_a_kemeny_order_is_the_best_of_all_for_few_and_never_worse_than_borda():
    from itertools import permutations

    from firstrank.reranker.strategies.consistent import borda
    from firstrank.reranker.strategies.kemeny import kemeny

    for seed in range(20):
        draw = random.Random(seed)
        few = [draw.sample(range(5), 5) for _ in range(4)]
        best = min(disagreement(order, few) for order in permutations(range(5)))
        assert disagreement(kemeny(few, borda(few)), few) == best
        many = [draw.sample(range(30), 30) for _ in range(5)]
        settled = kemeny(many, borda(many))
        assert sorted(settled) == list(range(30))
        assert disagreement(settled, many) <= disagreement(borda(many), many)


def test_no_candidate_of_a_long_kemeny_order_would_do_better_elsewhere():
    from firstrank.reranker.strategies.consistent import borda
    from firstrank.reranker.strategies.kemeny import kemeny

    for seed in range(3):
        draw = random.Random(seed)
        orders = [draw.sample(range(14), 14) for _ in range(5)]
        settled = kemeny(orders, borda(orders))
        least = disagreement(settled, orders)
        for i in settled:
            others = [other for other in settled if other != i]
            assert all(disagreement([*others[:place], i, *others[place:]], orders) >= least for place in range(14))


def test_borda_is_the_mean_place_and_shuffles_are_seeded():
    from firstrank.reranker.strategies.consistent import borda

    assert borda([[0, 1, 2], [0, 2, 1], [2, 0, 1]]) == [0, 2, 1]
    asked = [drive(parse_strategy("consistent"), 50, lambda window: [VALUES[i] for i in window], seed=seed).windows for seed in (1, 1, 2)]
    assert asked[0] == asked[1] != asked[2]
