"""The order with the fewest pairs against the given ones: for few candidates by every way, for many by moving one at a time."""

from __future__ import annotations

from itertools import combinations

import pytest

from firstrank.reranker.strategies.consistent import borda
from firstrank.reranker.strategies.kemeny import EXACT, kemeny


def against(order, orders):
    """Pairs of `order` that the orders have the other way round."""
    return sum(one.index(i) > one.index(j) for one in orders for i, j in combinations(order, 2))


def test_the_majority_of_each_pair_decides():
    assert kemeny([[0, 1, 2], [0, 1, 2], [2, 1, 0]], [2, 1, 0]) == [0, 1, 2]
    assert kemeny([[1, 0], [1, 0], [0, 1]], [0, 1]) == [1, 0]
    assert kemeny([[0]], [0]) == [0]


def test_of_orders_as_good_as_each_other_the_first_by_number_is_taken():
    assert kemeny([[0, 1, 2], [1, 2, 0], [2, 0, 1]], [2, 1, 0]) == [0, 1, 2]


def test_where_the_mean_place_and_the_pairs_say_different_things_the_pairs_count():
    orders = [[0, 1, 2, 3]] * 3 + [[1, 2, 3, 0]] * 2
    assert borda(orders) == [1, 0, 2, 3]
    assert kemeny(orders, borda(orders)) == [0, 1, 2, 3]


@pytest.mark.parametrize("more", [1, 5])
@pytest.mark.parametrize(("moved", "to"), [(0, 7), (9, 1), (3, 4), (0, EXACT), (EXACT, 0)])
def test_of_many_candidates_one_that_stands_wrong_is_moved_to_its_place(moved, to, more):
    right = list(range(EXACT + more))
    start = [i for i in right if i != moved]
    start.insert(to, moved)
    assert kemeny([right], start) == right
    assert against(kemeny([right, right, start], start), [right]) == 0


def test_of_many_candidates_all_may_stand_wrong():
    right = list(range(EXACT + 2))
    assert kemeny([right], right[::-1]) == right


def test_a_move_that_would_only_be_as_good_is_not_made():
    """Two orders that contradict each other in everything: any order is as good, so the start stays."""
    right = list(range(EXACT + 1))
    start = [5, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert kemeny([right, right[::-1]], start) == start


def test_a_candidate_that_is_moved_leaves_the_others_in_their_order():
    """All orders put 10 last, and contradict each other in all else."""
    others = [3, 1, 2, 0, 9, 8, 4, 5, 6, 7]
    orders = [[*range(10), 10], [*reversed(range(10)), 10]]
    assert kemeny(orders, [10, *others]) == [*others, 10]
    assert kemeny(orders, [*others[:4], 10, *others[4:]]) == [*others, 10]


def test_ten_candidates_are_searched_by_every_way():
    """Moves of one candidate at a time would end at 45 pairs here."""
    orders = [[3, 7, 6, 2, 4, 1, 0, 8, 5, 9], [9, 6, 8, 4, 3, 2, 5, 1, 0, 7], [0, 5, 8, 6, 2, 9, 1, 3, 4, 7]]
    assert against(kemeny(orders, borda(orders)), orders) == 44


def test_candidates_are_moved_until_no_move_helps():
    """One round of moves would end at 36 pairs here."""
    orders = [[5, 0, 3, 2, 1, 8, 9, 10, 6, 7, 4], [0, 3, 5, 8, 9, 2, 7, 4, 10, 6, 1], [8, 9, 4, 2, 3, 1, 5, 10, 6, 0, 7]]
    assert against(kemeny(orders, list(range(11))), orders) == 35
