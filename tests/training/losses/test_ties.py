"""Ties, in every objective: what they cost, and that passages that tie may change places. And what λ means."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from firstrank.training.losses import NAMES, loss_of
from firstrank.training.losses.unit import unit_of
from firstrank.training.sections import Doubt
from firstrank.training.total_loss import distilled, doubted, z_loss


def _start(scores, targets, mask):
    from firstrank.training.losses.kl import kl
    from firstrank.training.losses.lists import tells

    return kl(scores, torch.linspace(0, 1, scores.shape[-1]).to(scores).expand(scores.shape), mask) * tells(targets, mask)


def _distilled(scores, targets, mask):
    """From label logits that are a function of the marks, so that passages that change places take both with them."""
    return distilled(scores, torch.sin(scores), targets, mask)


def _doubting(scores, targets, mask):
    return loss_of("ranknet")(scores, targets, doubted(scores, targets, mask, Doubt(margin=0.0, begin=0.0), 1.0))


OBJECTIVES = {name: loss_of(name) for name in NAMES} | {"z": z_loss, "doubt": _doubting, "distill": _distilled}
OPTIONED = {
    "softmax smoothed": loss_of("softmax", {"smoothing": 0.2, "temperature": 2.0}),
    "fidelity soft": loss_of("fidelity", {"softness": 1.0}),
    "robust_softmax margin": loss_of("robust_softmax", {"margin": 0.5}),
    "plackett_luce rr": loss_of("plackett_luce", {"reward": "rr", "samples": 4}),
}


@st.composite
def graded_lists(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Scores and grades of a list with ties, and an order that only lets passages that tie change places."""
    n = draw(st.integers(2, 9))
    grades = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    scores = draw(st.lists(st.floats(-6, 6, width=32), min_size=n, max_size=n))
    order = list(range(n))
    for grade in set(grades):
        places = [i for i in range(n) if grades[i] == grade]
        for place, other in zip(places, draw(st.permutations(places)), strict=True):
            order[place] = other
    return torch.tensor([scores], dtype=torch.float64), torch.tensor([grades], dtype=torch.float64), order


@pytest.mark.parametrize("name", [*OBJECTIVES, *OPTIONED])
@given(found=graded_lists())
def test_passages_that_tie_may_change_places(name, found):
    scores, targets, order = found
    mask = torch.ones_like(targets, dtype=torch.bool)
    values = []
    for one in (scores, scores[:, order]):
        torch.manual_seed(0)  # plackett_luce draws rankings
        values.append((OBJECTIVES | OPTIONED)[name](one, targets, mask))
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*OBJECTIVES, "start", *OPTIONED])
def test_a_list_of_one_grade_costs_exactly_nothing(name):
    objective = (OBJECTIVES | OPTIONED | {"start": _start})[name]
    scores = torch.tensor([[3.0, -1.0, 20.0, 0.5], [0.0, 0.0, 0.0, 0.0], [5.0, 1e3, 1e3, 1e3]], requires_grad=True)
    targets = torch.tensor([[2.0] * 4, [0.0] * 4, [3.0, 7.0, 7.0, 7.0]])
    mask = torch.tensor([[True] * 4, [True] * 4, [True, False, False, False]])
    value = objective(scores, targets, mask)
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0, 0.0]
    assert not scores.grad.any()


SHAPES = {"graded": [3.0, 3.0, 2.0, 1.0, *[0.0] * 6], "one relevant": [1.0, *[0.0] * 19], "teacher's": [3 - i / 4 for i in range(12)]}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_pulls_as_hard_at_equal_logits(name, shape):
    """Whatever the lists look like: with one relevant passage of twenty the raw losses pull as differently as 1 and 10,000."""
    loss, first = loss_of(name, {"samples": 512} if name == "plackett_luce" else None), loss_of("weighted_ranknet")
    generator = torch.Generator().manual_seed(1)
    lists = [torch.tensor(SHAPES[shape])[torch.randperm(len(SHAPES[shape]), generator=generator)] for _ in range(8)]
    unit = unit_of(loss, lists)
    assert unit_of(lambda *given: unit * loss(*given), lists) == pytest.approx(1.0, rel=1e-6)
    torch.manual_seed(2)
    pulls = [factor * _pull(one, torch.stack(lists)) for one, factor in ((loss, unit), (first, 1.0))]
    assert pulls[0] == pytest.approx(pulls[1], rel=0.35)


def _pull(loss, targets):
    """Of the mean gradient at logits that are nearly equal."""
    slopes = []
    for _ in range(16):
        scores = (1e-3 * torch.randn(targets.shape)).requires_grad_()
        slopes += torch.autograd.grad(loss(scores, targets, torch.ones_like(targets, dtype=torch.bool)).sum(), scores)
    return float(torch.stack(slopes).mean(0).norm(dim=-1).mean())


def test_where_nothing_is_better_than_anything_else_the_unit_is_one():
    assert unit_of(loss_of("listnet"), [torch.ones(4), torch.zeros(3)]) == 1.0
