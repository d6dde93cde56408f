"""What makes a step fast changes what is computed by no more than rounding: fused LoRA, attention by windows, masters of bf16 weights."""

from __future__ import annotations

import pytest
import torch

from firstrank.reranker.errors import InputError
from firstrank.training.attention import WINDOWS, serving
from firstrank.training.frugal import Frugal
from firstrank.training.fused import _Product
from firstrank.training.machine import arithmetic
from firstrank.training.masters import MasterAdamW
from firstrank.training.network import load_network
from firstrank.training.run import open_model, train
from firstrank.training.samples.batch import collate, shared_out
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples
from firstrank.training.sections import Batching
from firstrank.training.total_loss import TotalLoss
from tests.training.interrupted import curve


@pytest.fixture
def opened(recipe):
    config = recipe()
    model = open_model(config)
    windows = Samples(config, model, Examples(config.train), 16)
    return model, [windows[i] for i in range(4)]


def slopes(network, config, batch) -> dict[str, torch.Tensor]:
    network.zero_grad()
    TotalLoss(config)(network(batch=batch), batch, 0.0).total.backward()
    return {name: one.grad.float().clone() for name, one in network.named_parameters() if one.grad is not None}


def filled(network):
    """An adapter that changes something."""
    generator = torch.Generator().manual_seed(0)
    for name, one in network.named_parameters():
        if "lora_" in name:
            one.data = 0.05 * torch.randn(one.shape, generator=generator)
    return network


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_a_fused_layer_has_the_gradients_of_peft_s_products(precision, recipe, opened, monkeypatch):
    monkeypatch.setattr("firstrank.training.machine._has_bf16", lambda: True)
    model, samples = opened
    batch = collate(samples, packing=True)
    found = []
    for fused in (False, True):
        config = recipe(tuning={"precision": precision, "lora": {"rank": 4, "alpha": 8, "fused": fused}})
        network = filled(load_network(model, config))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed"):
            found.append(slopes(network, config, batch))
    assert found[0].keys() == found[1].keys()
    for name, slope in found[0].items():
        if precision == "float32":
            torch.testing.assert_close(found[1][name], slope, rtol=1e-3, atol=1e-5)
        else:
            assert torch.nn.functional.cosine_similarity(found[1][name].flatten(), slope.flatten(), dim=0) > 0.98, name


def test_a_step_of_the_adapter_is_felt_at_once(recipe, opened):
    model, samples = opened
    config = recipe(tuning={"lora": {"rank": 4, "alpha": 8}})
    network = filled(load_network(model, config)).eval()
    batch = collate(samples, packing=True)
    before = network(batch=batch).scores
    with torch.no_grad():
        next(one for name, one in network.named_parameters() if "lora_B" in name).add_(0.1)
    assert not torch.equal(network(batch=batch).scores, before)
    with network.disable_adapter():
        bare = network(batch=batch).scores
    plain = load_network(model, recipe(tuning={"method": "full"})).eval()
    torch.testing.assert_close(bare, plain(batch=batch).scores, rtol=1e-4, atol=1e-4)


def test_a_change_below_the_grid_of_bf16_is_not_lost():
    """Most values change by less than half a step of the grid: rounded once, the change is there on the whole; added later, it is not."""
    torch.manual_seed(0)
    x, weight = torch.randn(512, 256).bfloat16(), (torch.randn(128, 256) / 16).bfloat16()
    a, b = torch.randn(4, 256) / 16, torch.randn(128, 4) * 2e-4
    plain = x @ weight.T
    felt = _Product.apply(x, weight, a, b, 1.0)
    wanted = ((x.float() @ a.T) @ b.T).flatten()
    twice = plain.clone().addmm_(x @ a.bfloat16().T, b.bfloat16().T)
    once_felt, twice_felt = ((one.float() - plain.float()).flatten() @ wanted / (wanted @ wanted) for one in (felt, twice))
    print(f"of the change, rounded once: {once_felt:.2f}; added to what is rounded: {twice_felt:.2f}")
    assert 0.8 < once_felt < 1.2
    assert twice_felt < 0.5


def test_fusing_and_dropout_do_not_go_together(recipe, opened):
    with pytest.raises(InputError, match=r"tuning.lora.fused: dropout and DoRA stand between the products"):
        load_network(opened[0], recipe(tuning={"lora": {"dropout": 0.1, "fused": True}}))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_by_windows_is_that_of_padded_rows(attention, recipe, opened):
    model, samples = opened
    ours, theirs = (load_network(model, recipe(tuning={"method": "full", "attention": name})) for name in ("auto", attention))
    assert ours.config._attn_implementation == WINDOWS
    assert theirs.config._attn_implementation == attention
    config = recipe(tuning={"method": "full"})
    wanted = slopes(theirs, config, collate(samples))
    for batch in (collate(samples, packing=True), collate(samples)):
        found = slopes(ours, config, batch)
        for name, slope in wanted.items():
            torch.testing.assert_close(found[name], slope, rtol=1e-3, atol=1e-4)
    with serving(ours) as network:
        assert network.config._attn_implementation == "sdpa"
        assert not network.training
    assert ours.config._attn_implementation == WINDOWS


def test_an_attention_that_is_not_installed_is_named(recipe, opened):
    with pytest.raises(InputError, match=r"tuning.attention=flash_attention_2: "):
        load_network(opened[0], recipe(tuning={"method": "full", "attention": "flash_attention_2"}))


def test_windows_are_shared_out_by_their_tokens(opened):
    _, samples = opened
    sizes = [len(one.prompt) + len(one.answer) - 1 for one in samples]
    parts = list(shared_out(samples, Batching(tokens=sizes[0] + sizes[1])))
    assert len(parts[0]) == 2
    assert [one for part in parts for one in part] == samples
    assert all(len(part) == 1 for part in shared_out(samples, Batching(tokens=1)))
    assert [len(part) for part in shared_out(samples, Batching(windows=3))] == [3, 1]


def test_masters_take_steps_that_bf16_would_lose():
    """1 + 1e-4 is 1 in bf16; a hundred such steps are not."""
    weight = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    exact = torch.nn.Parameter(torch.ones(8))
    ours, torch_s = MasterAdamW([weight], lr=1e-4, betas=(0.9, 0.999)), torch.optim.AdamW([exact], lr=1e-4, weight_decay=0.0)
    for step in range(100):
        for one, optimiser in ((weight, ours), (exact, torch_s)):
            one.grad = torch.ones_like(one)
            optimiser.step()
        if step == 50:  # what is saved and read again keeps its digits
            state = ours.state_dict()
            ours = MasterAdamW([weight], lr=1e-4, betas=(0.9, 0.999))
            ours.load_state_dict(state)
    torch.testing.assert_close(ours.state[weight]["master"], exact.detach(), rtol=0, atol=1e-6)
    assert torch.equal(weight.detach(), exact.detach().bfloat16())
    assert weight[0] != 1


@pytest.mark.parametrize(
    ("precision", "method", "units", "found"),
    [
        ("auto", "lora", True, "mixed"),
        ("auto", "lora", False, "float32"),
        ("auto", "full", True, "float32"),
        ("mixed", "lora", True, "mixed"),
        ("mixed", "full", False, "float32"),
        ("bfloat16", "full", False, "bfloat16"),
        ("bfloat16", "lora", False, "mixed"),
    ],
)
def test_what_precision_means_here(precision, method, units, found, recipe, monkeypatch):
    monkeypatch.setattr("firstrank.training.machine._has_bf16", lambda: units)
    assert arithmetic(recipe(tuning={"precision": precision, "method": method}).tuning) == found


def test_frugal_keeps_states_for_a_share_and_moves_all():
    weights = [torch.nn.Parameter(torch.ones(10)) for _ in range(8)]
    optimiser = Frugal(weights, lr=0.01, density=0.25, gap=3)
    drawn = set()
    for _ in range(9):
        before = [one.detach().clone() for one in weights]
        for one in weights:
            one.grad = torch.full_like(one, 2.0)
        optimiser.step()
        assert len(optimiser.state) == 2
        assert all(torch.allclose(one, old - 0.01) for one, old in zip(weights, before, strict=True)), "Adam's first steps are signs too"
        drawn.add(frozenset(optimiser.drawn(optimiser.param_groups[0]["taken"] - 1)))
    assert len(drawn) > 1


def test_a_frugal_run_resumes_to_the_same_losses(recipe, tmp_path):
    settings = {"steps": 4, "tuning": {"method": "full"}, "optimiser": {"name": "frugal", "args": "density=0.3, gap=3", "lr": 1e-3}}
    whole, parted = (recipe(**settings, checkpoints={"every": 2}, output=str(tmp_path / name)) for name in ("whole", "parted"))
    train(whole)
    assert train(parted, minutes=0) is None
    train(parted)
    assert curve(parted) == curve(whole)
    with pytest.raises(InputError, match=r"optimiser.args: 'rank=4': frugal takes density"):
        train(recipe(**settings | {"optimiser": {"name": "frugal", "args": "rank=4"}}, output=str(tmp_path / "wrong")))
