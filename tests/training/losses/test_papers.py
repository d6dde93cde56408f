"""Losses at numbers that their papers' formulas give by hand."""

from __future__ import annotations

import math

import pytest
import torch

from firstrank.training.losses import loss_of


def value(name: str, scores: list[float], grades: list[float], **options: object) -> float:
    one = [torch.tensor([row], dtype=torch.float64) for row in (scores, grades)]
    return float(loss_of(name, options)(*one, torch.ones(1, len(scores), dtype=torch.bool)))


def test_fidelity_is_frank_s():
    """F = 1 - √(P* P) - √((1 - P*)(1 - P)); for P* = 1 it goes from 0 (P = 1) over 1 - √½ (P = ½) to 1 (P = 0)."""
    assert value("fidelity", [0, 0], [1, 0]) == pytest.approx(1 - math.sqrt(0.5))
    assert value("fidelity", [50, 0], [1, 0]) == pytest.approx(0, abs=1e-9)
    assert value("fidelity", [0, 50], [1, 0]) == pytest.approx(1, abs=1e-4)
    assert value("fidelity", [2, 0], [2, 0], softness=1.0) == pytest.approx(0, abs=1e-12), "0 where P is P*, not where P is 1"
    assert value("fidelity", [1, 0], [2, 0], softness=2.0) == pytest.approx(0, abs=1e-12), "grades two apart, scores one apart"
    p, aim = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    assert value("fidelity", [1, 0], [2, 0], softness=1.0) == pytest.approx(1 - math.sqrt(p * aim) - math.sqrt((1 - p) * (1 - aim)))


def test_generalised_cross_entropy_lies_between_cross_entropy_and_the_absolute_error():
    p = 1 / 3
    assert value("generalised_cross_entropy", [0, 0, 0], [1, 0, 0], q=1.0) == pytest.approx(1 - p)
    assert value("generalised_cross_entropy", [0, 0, 0], [1, 0, 0], q=1e-6) == pytest.approx(-math.log(p), rel=1e-5)
    assert value("generalised_cross_entropy", [0, 0, 0], [1, 0, 0]) == pytest.approx((1 - p**0.7) / 0.7)


def test_label_smoothing_gives_a_share_to_all():
    """(1 - ε) · cross-entropy + ε · mean of all classes' cross-entropies (Szegedy et al.)."""
    logs = [math.log(math.exp(s) / (math.exp(2) + math.exp(0) + math.exp(-1))) for s in (2, 0, -1)]
    expected = -0.8 * logs[0] - 0.2 * sum(logs) / 3
    assert value("softmax", [2, 0, -1], [1, 0, 0], smoothing=0.2) == pytest.approx(expected)


def test_dice_is_self_adjusting():
    """1 - (2 (1-p)p y + γ) / ((1-p)p + y + γ), with p of softmax: (.5, .25, .25) here, γ = 1."""
    scores = [math.log(2), 0.0, 0.0]
    right = 1 - (2 * 0.25 + 1) / (0.25 + 1 + 1)
    wrong = 1 - 1 / (0.75 * 0.25 + 1)
    assert value("dice", scores, [1, 0, 0], focus=1.0, smoothing=0.999999) == pytest.approx((right + 2 * wrong) / 3, abs=1e-5)
    assert value("dice", scores, [1, 0, 0], focus=0.0) == pytest.approx((1 - 1.5 / 2 + 2 * (1 - 0.5 / 0.75)) / 3)


def test_margin_mse_is_zero_at_the_teacher_s_margins():
    assert value("margin_mse", [7.0, 5.0, 1.0], [12.0, 10.0, 6.0]) == 0
    assert value("margin_mse", [1.0, 0.0], [4.0, 0.0]) == 9


def test_kl_is_zero_for_the_same_scores_up_to_an_offset():
    assert value("kl", [3.0, 1.0, 0.0], [5.0, 3.0, 2.0]) == pytest.approx(0, abs=1e-12)
    p, q = 0.75, 0.5  # softmax of (log 3, 0), of (0, 0)
    assert value("kl", [0.0, 0.0], [math.log(3), 0.0]) == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def test_temperature_divides_listnet_s_grades_and_ranknet_s_differences():
    p, q = 0.75, 1 / (1 + math.exp(-1))  # softmax of (2 log 3, 0) / 2, of (1, 0)
    assert value("listnet", [1, 0], [2 * math.log(3), 0], temperature=2.0) == pytest.approx(-p * math.log(q) - (1 - p) * math.log(1 - q))
    assert value("ranknet", [0, 1], [1, 0], temperature=4.0) == pytest.approx(math.log(1 + math.exp(0.25)))


def test_kl_softens_both_sides_and_is_scaled_back():
    """T² · KL of softmax(y / T) from softmax(s / T): with T = 2, (log 9, 0) is softened to (3/4, 1/4)."""
    p, q = 0.75, 0.5
    expected = 4 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    assert value("kl", [0.0, 0.0], [math.log(9), 0.0], temperature=2.0) == pytest.approx(expected)
    p, q = 0.5, 0.75
    expected = 4 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    assert value("kl", [math.log(9), 0.0], [1e-6, 0.0], temperature=2.0) == pytest.approx(expected, abs=1e-5)


def test_temperature_softens_the_ranks_of_approx_ndcg_and_adr_mse():
    """Two passages, the better one scored 1 lower: at T = 2 its soft rank is 1 + sigmoid(1/2)."""
    rank = 1 + 1 / (1 + math.exp(-0.5))
    assert value("approx_ndcg", [0, 1], [1, 0], temperature=2.0) == pytest.approx(1 - 1 / math.log2(1 + rank))
    expected = ((rank - 1) ** 2 / math.log2(2) + (2 - (3 - rank)) ** 2 / math.log2(3)) / 2
    assert value("adr_mse", [0, 1], [1, 0], temperature=2.0) == pytest.approx(expected)


def test_temperature_of_the_losses_over_pairs_and_of_softmax():
    p = 1 / (1 + math.exp(-0.5))
    assert value("fidelity", [1, 0], [1, 0], temperature=2.0) == pytest.approx(1 - math.sqrt(p))
    assert value("weighted_ranknet", [1, 0], [1, 0], temperature=2.0) == pytest.approx(-math.log(p) / 3)
    assert value("softmax", [1, 0], [1, 0], temperature=2.0) == pytest.approx(-math.log(p))
    assert value("generalised_cross_entropy", [1, 0], [1, 0], temperature=2.0, q=0.5) == pytest.approx((1 - p**0.5) / 0.5)


def test_robust_softmax_takes_a_margin_and_a_temperature():
    """t · log of the mean of exp((s_j - s_i + margin · (y_i - y_j)) / t) over the best itself and the one worse."""
    expected = 2 * math.log((1 + math.exp((-1 + 0.5 * 3) / 2)) / 2)
    assert value("robust_softmax", [1, 0], [3, 0], temperature=2.0, margin=0.5) == pytest.approx(expected)


def test_neuralsort_s_rows_are_softened():
    """Of two, row 1 is softmax((s - |Δ|) / T), row 2 softmax((-s - |Δ|) / T); with T = 2 and Δ = 1 each right place has sigmoid(½)."""
    assert value("neuralsort", [1, 0], [1, 0], temperature=2.0) == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_the_network_s_swaps_are_as_steep_as_asked():
    """One swap of two passages: ½ - arctan(2 · 1) / π."""
    kept = 0.5 + math.atan(2) / math.pi
    assert value("odd_even_network", [1, 0], [1, 0], steepness=2.0) == pytest.approx(-math.log(kept))


def test_wasserstein_compares_distributions():
    """One list: |softmax(s / T) - softmax(y)|², as the published code has it. Two: the covariances' term beside."""
    s, y = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64), torch.tensor([[3.0, 1.0, 0.0]], dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    apart = (torch.softmax(s / 0.5, -1) - torch.softmax(y, -1)).square().sum()
    assert float(loss_of("wasserstein", {"temperature": 0.5})(s, y, mask)) == pytest.approx(float(apart))
    s, y = torch.cat([s, -s + 0.3]), torch.cat([y, y - 1])
    p, q = torch.softmax(s, -1), torch.softmax(y, -1)
    covariances = [torch.cov(one.T) for one in (p, q)]
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp_min(0).sqrt().sum()
    expected = (p.mean(0) - q.mean(0)).square().sum() + covariances[0].trace() + covariances[1].trace() - 2 * root
    found = loss_of("wasserstein")(s, y, torch.ones(2, 3, dtype=torch.bool))
    assert found.tolist() == pytest.approx([float(expected)] * 2, abs=1e-9)


def test_plackett_luce_s_gradient_is_that_of_the_expected_reward():
    """Of all six rankings of three passages, each by its probability; the mean over many lists of two draws is the same to two digits."""
    from itertools import permutations

    scores = torch.tensor([0.4, -0.3, 0.1], dtype=torch.float64, requires_grad=True)
    grades = [0.0, 1.0, 2.0]
    gain, weight = [2**g - 1 for g in grades], [1 / math.log2(place + 1) for place in (1, 2, 3)]
    ideal = sum(g * w for g, w in zip(sorted(gain, reverse=True), weight, strict=True))
    expected = torch.zeros((), dtype=torch.float64)
    for order in permutations(range(3)):
        chance = torch.ones((), dtype=torch.float64)
        for place, passage in enumerate(order):
            chance = chance * scores[passage].exp() / sum(scores[other].exp() for other in order[place:])
        expected = expected + chance * sum(gain[p] * w for p, w in zip(order, weight, strict=True)) / ideal
    [wanted] = torch.autograd.grad(1 - expected, scores)
    torch.manual_seed(1)
    lists = 50_000
    rows, goals = scores.expand(lists, -1), torch.tensor([grades]).expand(lists, -1)
    found = loss_of("plackett_luce", {"samples": 2})(rows, goals, torch.ones(lists, 3, dtype=torch.bool)).mean()
    [slope] = torch.autograd.grad(found, scores)
    assert found.item() == pytest.approx(expected.neg().add(1).item(), abs=2e-3)
    torch.testing.assert_close(slope, wanted, rtol=0.05, atol=2e-3)


def test_plackett_luce_of_scores_so_far_apart_that_all_draws_are_one():
    """The third is drawn first, then the second: nDCG, its cut, and the reciprocal rank of the best by hand."""
    scores, second = [0.0, 100.0, 200.0], 1 / math.log2(3)
    ideal = 3 + second
    assert value("plackett_luce", scores, [2, 1, 0]) == pytest.approx(1 - (second + 3 / 2) / ideal)
    assert value("plackett_luce", scores, [2, 1, 0], cut=2) == pytest.approx(1 - second / ideal)
    assert value("plackett_luce", scores, [2, 1, 0], reward="rr") == pytest.approx(1 - 1 / 3)
    assert value("plackett_luce", scores, [1, 0, 1], reward="rr") == pytest.approx(0)
    assert value("plackett_luce", [0, 1, 2], [2, 1, 0], temperature=0.01) == pytest.approx(1 - (second + 3 / 2) / ideal)
    assert value("plackett_luce", [100.0, 0.0], [-2, -1]) == pytest.approx(1 - second), "gains count from the worst, where that is below 0"
    assert value("plackett_luce", [0.0, 100.0], [2, 1]) == pytest.approx(1 - (1 + 3 * second) / (3 + second)), "and else from 0"
    assert value("plackett_luce", [0.0, 100.0], [0.5, 0]) == pytest.approx(1 - second), "a grade may be a fraction"


def test_plackett_luce_leaves_padding_out():
    scores, targets = torch.tensor([[0.0, 100.0, 1e3], [0.0, 100.0, 200.0]]), torch.tensor([[1.0, 0.0, 9.0], [2.0, 1.0, 0.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    found = loss_of("plackett_luce")(scores, targets, mask)
    assert found.tolist() == pytest.approx([1 - 1 / math.log2(3), 1 - (1 / math.log2(3) + 3 / 2) / (3 + 1 / math.log2(3))])
    reciprocal = loss_of("plackett_luce", {"reward": "rr"})(scores, targets, mask)
    assert reciprocal.tolist() == pytest.approx([1 / 2, 2 / 3])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("softmax", {"temperature": -1}, "temperature is -1: it must be above 0"),
        ("listnet", {"temperature": "hot"}, "temperature is 'hot': it must be above 0"),
        ("generalised_cross_entropy", {"q": 0}, "q is 0: it must be above 0, 1 at most"),
        ("plackett_luce", {"samples": 1.5}, "samples is 1.5: it must be a whole number"),
        ("plackett_luce", {"reward": "map"}, "reward is 'map': it must be ndcg or rr"),
        ("approx_ndcg", {"temprature": 1}, r"no option temprature \(did you mean temperature\?\)"),
        ("lambdrank", {}, r"unknown \(did you mean lambdarank\?\)"),
    ],
)
def test_options_out_of_range_are_named(name, options, said):
    from firstrank.reranker.errors import InputError

    with pytest.raises(InputError, match=said):
        loss_of(name, options)
