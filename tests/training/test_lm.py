"""The LM loss without its logits: equal to the plain one, in value and gradients."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from firstrank.training import lm
from firstrank.training.lm import Head, token_losses


def plain(hidden, head, ids):
    raw = hidden @ head.weight.T + (0.0 if head.bias is None else head.bias)
    return torch.nn.functional.cross_entropy(head.finished(raw), ids, reduction="none")


HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "soft cap": {"cap": 4.0},
    "scale, bias and cap": {"bias": True, "scale": 0.5, "cap": 3.0},
}


@pytest.mark.parametrize("form", HEADS)
def test_equals_the_plain_loss(form, monkeypatch):
    monkeypatch.setattr(lm, "_BLOCK", 7)  # does not divide the vocabulary
    torch.manual_seed(0)
    settings = dict(HEADS[form])
    hidden, weight = torch.randn(9, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    bias = torch.randn(50, requires_grad=True) if settings.pop("bias", False) else None
    ids, weights = torch.tensor([0, 6, 7, 49, 3, 3, 20, 21, 48]), torch.rand(9)
    head = Head(weight, bias, **settings)
    inputs = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    found, wanted = token_losses(hidden, head, ids), plain(hidden, head, ids)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    mine, theirs = (torch.autograd.grad((losses * weights).sum(), inputs) for losses in (found, wanted))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", HEADS)
def test_gradcheck(form, monkeypatch):
    monkeypatch.setattr(lm, "_BLOCK", 4)
    torch.manual_seed(1)
    settings = dict(HEADS[form])
    hidden = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(10, dtype=torch.float64, requires_grad=True) if settings.pop("bias", False) else None
    ids = torch.tensor([0, 3, 4, 9])
    assert torch.autograd.gradcheck(
        lambda h, w, b: lm._TokenLosses.apply(h, w, b, ids, settings.get("scale", 1.0), settings.get("cap")), (hidden, weight, bias)
    )


def test_a_frozen_head_gets_no_gradient():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(8, 4)
    token_losses(hidden, Head(weight), torch.tensor([1, 2, 3])).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_bfloat16_states_with_huge_logits_stay_finite():
    hidden = (1e3 * torch.randn(5, 8)).to(torch.bfloat16).requires_grad_()
    weight = torch.randn(100, 8).to(torch.bfloat16)
    losses = token_losses(hidden, Head(weight), torch.arange(5))
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()
    assert torch.isfinite(hidden.grad).all()


def test_label_logits_are_those_of_the_whole_head():
    torch.manual_seed(2)
    head = Head(torch.randn(30, 4), torch.randn(30), 0.5, 5.0)
    hidden, ids = torch.randn(3, 4), torch.tensor([4, 29, 0])
    whole = head.finished(hidden @ head.weight.T + head.bias)
    torch.testing.assert_close(head.logits(hidden, ids), whole[:, ids])


@pytest.fixture
def liger(monkeypatch):
    """Installs a stand-in for Liger's kernel, of that version; gives the calls that it got."""
    calls = []

    def fused(hidden, weight, ids, bias=None, *, reduction, softcap, accum_dtype):
        calls.append((reduction, accum_dtype))
        return plain(hidden.float(), Head(weight.float(), None if bias is None else bias.float(), cap=softcap), ids)

    def install(number):
        monkeypatch.setattr(lm, "version", lambda _: number)
        monkeypatch.setattr(lm, "find_spec", lambda name: name == "liger_kernel")
        module = types.ModuleType("liger_kernel.transformers.functional")
        module.liger_fused_linear_cross_entropy = fused
        for name in ("liger_kernel", "liger_kernel.transformers"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return calls

    return install


@pytest.mark.parametrize("form", ["plain", "bias", "soft cap"])
def test_liger_s_kernel_takes_over_on_cuda(form, liger):
    calls, settings = liger("0.8.2"), dict(HEADS[form])
    torch.manual_seed(3)
    hidden, weight = torch.randn(5, 6).to(torch.bfloat16), torch.randn(20, 6)
    head = Head(weight, torch.randn(20) if settings.pop("bias", False) else None, **settings)
    ids = torch.tensor([0, 3, 19, 7, 7])
    found = lm._on_cuda(hidden, head, ids)
    assert calls == [("none", torch.float32)]
    torch.testing.assert_close(found, token_losses(hidden, head, ids), rtol=0.02, atol=0.02)


def test_where_liger_cannot_be_trusted_it_is_left_alone(liger):
    """Before 0.8.2 its gradients for single tokens' losses were wrong; it knows no scale; fp32 states are ours."""
    hidden, weight, ids = torch.randn(2, 4).to(torch.bfloat16), torch.randn(8, 4), torch.tensor([1, 2])
    assert liger("0.8.1") == []
    assert lm._on_cuda(hidden, Head(weight), ids) is None
    liger("0.9.0")
    assert lm._on_cuda(hidden, Head(weight, scale=0.5), ids) is None
    assert lm._on_cuda(hidden.float(), Head(weight), ids) is None
