"""Rules of deferral: what they say of plain cases, and a learned one from fitting to its file and back."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers.cascade.deferral import discounts, entropy, find_rule, fit, loss, margin, read_rule

logits = st.lists(st.floats(-50, 50), min_size=1, max_size=30)


@settings(deadline=None, derandomize=True)
@given(logits, st.floats(-100, 100))
@pytest.mark.parametrize("rule", [entropy, margin])
def test_doubt_is_a_share_and_levels_do_not_matter(rule, values, level):
    assert -1e-9 <= rule(values) <= 1 + 1e-9
    assert rule([value + level for value in values]) == pytest.approx(rule(values), abs=1e-6)


def test_entropy_and_margin_by_hand():
    assert entropy([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert entropy([100.0, 0.0, 0.0]) == pytest.approx(0.0, abs=1e-9)
    assert margin([5.0, 5.0, 0.0]) == pytest.approx(1.0)
    p = math.exp(2) / (math.exp(2) + 1)
    assert margin([2.0, 0.0]) == pytest.approx(1 - (p - (1 - p)))
    assert entropy([2.0, 0.0]) == pytest.approx(-(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2))
    assert entropy([4.0]) == margin([4.0]) == 0.0


def test_stakes_fall_with_the_places():
    assert discounts([0]) == 1.0
    assert discounts(range(20)) > discounts(range(10, 30)) > discounts(range(80, 100))


def test_loss_is_the_dcg_that_an_order_lacks():
    assert loss([3, 2, 1], [2, 1, 0]) == 0.0
    assert loss([0, 1], [1, 0]) == pytest.approx(1 - 1 / math.log2(3))
    assert loss(list(range(20)), [0] * 20) == 0.0


def labelled(count: int, seed: int):
    """Windows whose candidates differ much, or not at all: only in the first can an order lose anything."""
    draw = random.Random(seed)
    for i in range(count):
        grades = [draw.randrange(4) for _ in range(20)] if i % 2 else [0] * 20
        yield [grade + draw.gauss(0, 1) for grade in grades], grades


def test_a_learned_rule_knows_where_something_can_be_lost():
    rule = fit(labelled(400, 0))
    doubts = [(rule(values), loss(values, grades)) for values, grades in labelled(200, 1)]
    lost = [doubt for doubt, missing in doubts if missing > 0]
    right = [doubt for doubt, missing in doubts if missing == 0]
    assert sum(lost) / len(lost) > sum(right) / len(right) + 0.3


def test_a_learned_rule_survives_its_file(tmp_path):
    rule = fit(labelled(50, 0))
    rule.save(tmp_path / "rule.json")
    again = find_rule(str(tmp_path / "rule.json"))
    assert again == rule
    assert again([3.0, 1.0, 0.5]) == rule([3.0, 1.0, 0.5])


def test_nothing_to_fit_on_is_refused():
    with pytest.raises(InputError, match="there is none"):
        fit([([1.0], [1.0])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0]}, "weights"),
        ({"rule": "entropy"}, "rule"),
        ({"deviations": [0.0] * 9}, "deviations"),
        ({"intercept": "much"}, "intercept"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_a_file_that_is_no_rule_is_refused(tmp_path, change, message):
    path = tmp_path / "rule.json"
    fit(labelled(50, 0)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_rule(path)


@pytest.mark.parametrize("content", ["", "[]", "nonsense"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "rule.json").write_text(content)
    with pytest.raises(InputError, match="not a learned rule"):
        read_rule(tmp_path / "rule.json")
