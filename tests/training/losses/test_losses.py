"""What every ranking loss must hold."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from firstrank.reranker.errors import InputError
from firstrank.training.losses import NAMES, loss_of
from tests.training.losses import references

ORDER_BLIND = ("softmax", "generalised_cross_entropy", "dice")  # they look at the top place only
DRAWN = ("plackett_luce",)  # its value and gradient are means over rankings that are drawn: test_papers.py
EXACT = [name for name in NAMES if name not in DRAWN]
CLOSE = {"wasserstein": 1e-7}  # its reference takes square roots of eigenvalues that ought to be 0


def lists(rng: np.random.Generator, count: int, most: int = 9) -> list[tuple[list[float], list[float]]]:
    """Lists with and without ties, of one element, all equal, some all of one grade; scores far apart and close."""
    found = []
    for kind in rng.integers(0, 6, count):
        n = 1 if kind == 0 else int(rng.integers(2, most + 1))
        scores = rng.normal(0.0, rng.choice([0.1, 1.0, 8.0]), n)
        scores = np.full(n, scores[0]) if kind == 1 else np.round(scores) if kind == 2 else scores
        grades = np.full(n, 2.0) if kind == 3 else rng.integers(0, 4, n).astype(float) if kind < 5 else 3.0 * rng.permutation(n) / n
        found.append((scores.tolist(), grades.tolist()))
    return found


def batch(rows, dtype=torch.float64):
    """Padded with values that would be noticed."""
    most = max(len(scores) for scores, _ in rows)
    scores, targets = torch.full((len(rows), most), 1e3, dtype=dtype), torch.full((len(rows), most), 77.0, dtype=dtype)
    mask = torch.zeros(len(rows), most, dtype=torch.bool)
    for row, (s, y) in enumerate(rows):
        scores[row, : len(s)], targets[row, : len(y)] = torch.tensor(s, dtype=dtype), torch.tensor(y, dtype=dtype)
        mask[row, : len(s)] = True
    return scores, targets, mask


def compare(name: str, rows) -> float:
    """The largest difference between a loss and its reference over lists of a batch, relative to 1 + the reference."""
    found = loss_of(name)(*batch(rows))
    if name == "wasserstein":
        wanted = references.wasserstein(rows)
        expected = torch.tensor([wanted if references.pairs(y) else 0.0 for _, y in rows], dtype=torch.float64)
    else:
        expected = torch.tensor([getattr(references, name)(s, y) for s, y in rows], dtype=torch.float64)
    assert found.shape == (len(rows),)
    return float(((found - expected).abs() / (1.0 + expected.abs())).max())


@pytest.mark.parametrize("name", EXACT)
def test_value_equals_the_slow_reference(name):
    rng = np.random.default_rng(1)
    assert max(compare(name, lists(rng, 8)) for _ in range(6)) < CLOSE.get(name, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_value_equals_the_slow_reference_on_1000_lists(name):
    rng = np.random.default_rng(2)
    assert max(compare(name, lists(rng, 8, most=20)) for _ in range(125)) < CLOSE.get(name, 1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_gradient(name):
    rows = [([0.3, -1.2, 2.2, 0.9], [2.0, 0.0, 1.0, 3.0]), ([0.1, 0.7, -0.4], [1.0, 0.0, 1.0]), ([1.5], [2.0]), ([0.2, 0.5], [1.0, 1.0])]
    scores, targets, mask = batch(rows)
    scores = scores.masked_fill(~mask, 0.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss_of(name)(s, targets, mask).sum(), (scores,), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_padding_has_no_gradient(name):
    scores, targets, mask = batch([([0.3, -1.2, 2.2], [2.0, 0.0, 1.0]), ([0.1, 0.7], [1.0, 0.0])])
    scores.requires_grad_()
    loss_of(name)(scores, targets, mask).sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~mask] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_shuffling_candidates_with_targets_changes_nothing(name):
    rng = np.random.default_rng(3)
    for _ in range(20):
        n = int(rng.integers(2, 9))
        scores, targets = rng.normal(size=n), rng.permutation(n).astype(float)
        order = rng.permutation(n)
        torch.manual_seed(0)
        before = loss_of(name)(*batch([(scores.tolist(), targets.tolist())]))
        torch.manual_seed(0)
        after = loss_of(name)(*batch([(scores[order].tolist(), targets[order].tolist())]))
        torch.testing.assert_close(before, after, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_no_permutation_beats_the_target_order(name, n):
    targets = [3.0 * (1 - i / (n - 1)) for i in range(n)]
    orders = list(permutations([8.0 * (n - i) for i in range(n)]))
    scores = torch.tensor(orders, dtype=torch.float64)
    loss = loss_of(name)
    goals, mask = torch.tensor([targets], dtype=torch.float64), torch.ones(1, n, dtype=torch.bool)
    values = torch.cat([loss(row.unsqueeze(0), goals, mask) for row in scores]) if name == "wasserstein" else None
    values = loss(scores, goals.expand(len(orders), -1), mask.expand(len(orders), -1)) if values is None else values
    right = float(values[0])  # permutations() begins with the order as given
    if name in ORDER_BLIND:
        assert all(float(value) >= right - 1e-12 for value in values)
        assert all(float(value) > right + 0.05 for value, order in zip(values, orders, strict=True) if order[0] != max(order))
    else:
        assert float(values[1:].min()) > right


@pytest.mark.parametrize("name", NAMES)
def test_finite_in_bfloat16_with_huge_scores(name):
    rng = np.random.default_rng(4)
    rows = [((rng.choice([-1e4, 1e4, 0.0, 37.0], 20)).tolist(), rng.integers(0, 4, 20).astype(float).tolist()) for _ in range(6)]
    scores, targets, mask = batch(rows, torch.bfloat16)
    scores = scores.masked_fill(~mask, 0).requires_grad_()
    value = loss_of(name)(scores, targets, mask)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_list_that_says_nothing_costs_nothing(name):
    value = loss_of(name)(*batch([([3.0, 1.0, 2.0], [1.0, 1.0, 1.0]), ([5.0], [3.0])]))
    assert value.tolist() == [0.0, 0.0]


def test_several_lists_of_grades_and_scores_alike_are_at_no_distance():
    rows = [(y, y) for y in ([3.0, 1.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 0.0])]
    assert float(loss_of("wasserstein")(*batch(rows))[0]) == pytest.approx(0.0, abs=1e-9)


def test_unknown_names_and_options_are_named():
    with pytest.raises(InputError, match="'hinge': unknown; there are softmax"):
        loss_of("hinge")
    with pytest.raises(InputError, match="no option heat; it has temperature"):
        loss_of("approx_ndcg", {"heat": 1})
    assert loss_of("approx_ndcg", {"temperature": 0.1})(*batch([([2.0, 1.0], [1.0, 0.0])]))[0] < 1e-4
