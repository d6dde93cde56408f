"""What strategies share: how many candidates a window takes, runs joined to one, and numbers that are refused."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.strategies.windows import (
    Fit,
    by_score,
    check_at_least,
    check_top_k,
    check_window,
    fit_of,
    parts,
    renamed,
    size,
    together,
)
from firstrank.reranker.types import UNBOUNDED, Outcome, Scores, View


def view(n: int, *, max_window: int = 100, lengths: tuple[int, ...] = (), room: int = UNBOUNDED) -> View:
    return View(n, lengths or (10,) * n, max_window, 0, room)


def test_parts_are_as_few_and_as_equal_as_can_be():
    assert parts(range(7), 3) == [(0, 1), (2, 3), (4, 5, 6)]
    assert parts(range(6), 3) == [(0, 1, 2), (3, 4, 5)]
    assert parts("ab", 5) == [("a", "b")]
    assert parts([], 3) == []


def test_a_window_takes_what_fits_up_to_the_last_token():
    fit = Fit(least=2, most=4, room=30, lengths=(10, 10, 10, 1, 5))
    assert fit.first([0, 1, 2, 3]) == 3, "30 tokens, and not one more"
    assert fit.first([0, 1, 3, 4, 2]) == 4, "not more than the most, whatever room is left"
    assert fit.first([0]) == 1
    assert fit.last([2, 4, 3, 0, 1]) == 4, "1, 0, 3 and 4 from behind: 26 tokens"
    tight = Fit(2, 4, 20, (10, 10, 10, 1, 5))
    assert (tight.first([3, 4, 0, 1, 2]), tight.last([3, 4, 0, 1, 2])) == (3, 2)
    assert Fit(3, 3, 0, (10,) * 5).first(range(5)) == 3, "a fixed number, whatever the room"


def test_auto_counts_on_the_longest():
    lengths = (10, 40, 20, 30, 5)
    assert fit_of("auto", view(5, lengths=lengths, room=90)).least == 3, "40 + 30 + 20"
    assert fit_of("auto", view(5, lengths=lengths, room=89)).least == 2
    assert fit_of("auto", view(5, lengths=lengths, room=90, max_window=2)).least == 2
    assert fit_of("auto", view(5, lengths=lengths, room=90, max_window=4)).most == 4
    assert size("auto", view(1, lengths=(50,), room=90)) == 2, "windows of two, were there two"
    with pytest.raises(InputError, match="the two longest passages do not fit"):
        fit_of("auto", view(5, lengths=lengths, room=69))
    with pytest.raises(InputError, match="the two longest passages do not fit"):
        fit_of("auto", view(2, lengths=(40, 30), room=69))
    assert size(7, view(100)) == 7


def test_ties_keep_first_stage_order():
    assert by_score([3, 1, 2], Scores((1.0, 1.0, 2.0))) == [2, 1, 3]


def test_what_a_window_may_be():
    check_window(2)
    check_window("auto")
    check_window(9, view(3, max_window=3))
    check_window(9, view(1, max_window=1))
    check_window(3, view(9, max_window=3))
    check_window("auto", view(9, max_window=2))
    with pytest.raises(InputError, match="at least 2 candidates"):
        check_window(1)
    with pytest.raises(InputError, match="allow 1 of these candidates"):
        check_window("auto", view(2, max_window=1))
    with pytest.raises(InputError, match="use window=3, or window=auto"):
        check_window(4, view(9, max_window=3))


def test_numbers_have_a_least():
    check_at_least(1, k=1, top_k=None)
    with pytest.raises(InputError, match="top_k=0: must be at least 1"):
        check_at_least(1, k=1, top_k=0)


def test_no_more_than_is_guaranteed_may_be_asked_for():
    check_top_k(None, 0, view(9), "…")
    check_top_k(3, 3, view(9), "…")
    check_top_k(50, 9, view(9), "…")
    with pytest.raises(InputError, match="top_k=4: the best 3 of 9 candidates are guaranteed, no more; ask less"):
        check_top_k(4, 3, view(9), "ask less")


def asking(name: int, rounds: int):
    """Asks for so many windows in each of so many rounds, and returns the scores that it was sent."""
    heard = []
    for number in range(rounds):
        heard += yield [(name, number), (name, number + 10)]
    return heard


def test_runs_that_are_joined_ask_in_one_round_and_hear_their_own_answers():
    run = together(asking(1, 2), asking(2, 0), asking(3, 1))
    assert next(run) == [(1, 0), (1, 10), (3, 0), (3, 10)]
    assert run.send(["a", "b", "c", "d"]) == [(1, 1), (1, 11)]
    with pytest.raises(StopIteration) as ended:
        run.send(["e", "f"])
    assert ended.value.value == [["a", "b", "e", "f"], [], ["c", "d"]]


def test_steps_under_other_names_see_their_own_places():
    def steps():
        [scores] = yield [(0, 2)]
        assert scores == Scores((1.0, 5.0)), "as it was settled"
        return Outcome([2, 0, 1], 3)

    run = renamed(steps(), [7, 8, 9], lambda window, scores: Scores((1.0, 5.0)) if window == (7, 9) else scores)
    assert next(run) == [(7, 9)]
    with pytest.raises(StopIteration) as ended:
        run.send([Scores((5.0, 5.0))])
    assert ended.value.value == Outcome([9, 7, 8], 3)
