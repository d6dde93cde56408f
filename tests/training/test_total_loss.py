"""How much a window counts, what a batch's forward pass gives, and that packing, LISA and recomputation change no gradient."""

from __future__ import annotations

import pytest
import torch

from firstrank.reranker.errors import InputError
from firstrank.training.lisa import LayerSampling
from firstrank.training.network import Seen, load_network
from firstrank.training.run import open_model
from firstrank.training.samples.batch import collate
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples
from firstrank.training.sections import Difficulty, Lisa, Reweighting
from firstrank.training.total_loss import TotalLoss, by_loss, ease


@pytest.fixture
def prepared(recipe):
    """(config, model, four windows) of a recipe."""

    def made(**fields):
        config = recipe(**fields)
        model = open_model(config)
        windows = Samples(config, model, Examples(config.train), 16)
        return config, model, [windows[i] for i in range(4)]

    return made


def test_scores_are_those_of_the_reranker(prepared):
    from firstrank.reranker.scorers.transformers.head import LabelHead

    config, model, windows = prepared()
    network = load_network(model, config.model_copy(update={"tuning": config.tuning.model_copy(update={"method": "full"})})).eval()
    batch = collate(windows)
    with torch.no_grad():
        found = network(batch=batch).scores
        for row, window in enumerate(windows):
            hidden = network.base_model(input_ids=torch.tensor([window.prompt]), use_cache=False).last_hidden_state[0, -1]
            wanted = LabelHead(network)(hidden, model.prompter.label_ids(len(window.grades)))
            torch.testing.assert_close(found[row, : len(wanted)], wanted, rtol=1e-4, atol=1e-4)


def test_the_lm_term_is_the_plain_one_over_the_answer(prepared):
    config, model, windows = prepared(loss={"lm": {"ties": "first-stage"}})
    network = load_network(model, config)
    terms = TotalLoss(config)(network(batch=collate(windows)), collate(windows), 0.0)
    for lm, window in zip(terms.lm, windows, strict=True):
        ids = torch.tensor([[*window.prompt, *window.answer]])
        labels = ids.clone()
        labels[:, : len(window.prompt)] = -100
        logits = network(input_ids=ids, use_cache=False).logits[0, :-1]
        torch.testing.assert_close(lm, torch.nn.functional.cross_entropy(logits, labels[0, 1:]), rtol=1e-5, atol=1e-5)
    assert float(terms.total) == pytest.approx(float((terms.lm + 10 * terms.rank).mean()), rel=1e-6)


def gradients(network, config, batch) -> dict[str, torch.Tensor]:
    network.zero_grad()
    TotalLoss(config)(network(batch=batch), batch, 0.0).total.backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_packing_and_recomputation_change_no_gradient(prepared):
    config, model, windows = prepared(tuning={"method": "full"})
    network = load_network(model, config).train()
    plain = gradients(network, config, collate(windows))
    packed = collate(windows, packing=True)
    assert packed.input_ids.shape == (1, sum(len(window.prompt) + len(window.answer) - 1 for window in windows))
    for name, gradient in gradients(network, config, packed).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-3, atol=1e-4)
    network.activation_checkpointing_enable({"use_reentrant": False})
    for name, gradient in gradients(network, config, collate(windows)).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-5)


def test_importance_weighs_identifiers_by_rank(prepared):
    _, model, windows = prepared(loss={"rank": {"weight": 0}, "lm": {"importance": "rank", "ties": "first-stage"}})
    window = windows[0]
    counted = [weight for weight in window.importance if weight > 1.0]
    assert counted == pytest.approx([1 + 1 / torch.log2(torch.tensor(r + 1.0)).item() for r in range(1, len(window.grades) + 1)])
    assert model.tokenizer.eos_token_id == window.answer[-1]


def test_without_the_lm_loss_no_answer_is_read(prepared):
    config, model, windows = prepared(loss={"lm": {"weight": 0}})
    batch = collate(windows)
    assert batch.answer_ids.numel() == 0
    assert batch.input_ids.shape[1] == max(len(window.prompt) for window in windows)
    assert load_network(model, config)(batch=batch).token_losses.numel() == 0


def test_lora_on_some_layers_only(prepared):
    config, model, _ = prepared(tuning={"lora": {"rank": 2, "layers": [1, 1], "dora": True}})
    moving = [name for name, parameter in load_network(model, config).named_parameters() if parameter.requires_grad]
    assert moving
    assert all(".layers.1." in name for name in moving)
    assert any("magnitude" in name for name in moving)


def test_lisa_moves_one_layer_at_a_time_and_draws_the_same_again(prepared):
    config, model, windows = prepared(tuning={"method": "lisa"})
    network = load_network(model, config)
    sampling = LayerSampling(network, Lisa(layers=1, every=5), seed=3)
    optimiser = torch.optim.AdamW(network.parameters())

    class State:
        global_step = 0

    seen = set()
    for State.global_step in range(0, 50, 5):
        sampling.on_step_begin(None, State, None, optimizer=optimiser)
        found = gradients(network, config, collate(windows))
        layers = {name.split(".layers.")[1][0] for name in found if ".layers." in name}
        optimiser.step()
        assert layers == {str(i) for i in sampling.drawn(State.global_step)}
        assert any("embed" in name for name in found)
        resting = [p for name, p in network.named_parameters() if ".layers." in name and name.split(".layers.")[1][0] not in layers]
        assert not any(p in optimiser.state for p in resting)
        seen |= layers
    assert seen == {"0", "1"}
    assert [sampling.drawn(step) for step in range(20)] == [
        LayerSampling(network, Lisa(layers=1, every=5), seed=3).drawn(s) for s in range(20)
    ]


def test_hard_windows_count_less_at_first(prepared):
    _, _, windows = prepared()
    batch = collate(windows)
    batch.targets[:2, :2] = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    batch.mask[:2] = torch.tensor([True, True] + [False] * (batch.mask.shape[1] - 2))
    batch.places[:2, :2] = torch.tensor([0, 9])
    early, late = ease(batch, 0.0, Difficulty(until=0.5)), ease(batch, 0.5, Difficulty(until=0.5))
    assert early[0] == pytest.approx((1 - 0.1 + 1) / 2)  # the better one stands first
    assert early[1] == pytest.approx((0.1 - 1 + 1) / 2)
    assert late.tolist() == [1.0] * 4


@pytest.mark.parametrize(("kind", "f"), [("linupper", [0.0, 1.0, 1.0]), ("quadratic", [0.0, 1.0, 0.0]), ("extremes", [1.0, 0.0, 1.0])])
def test_reweighting_by_loss(kind, f):
    weights = by_loss(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5, 5, 5]), Reweighting(kind=kind, temperature=0.5))
    expected = torch.softmax(torch.tensor(f) / 0.5, 0) * 3
    torch.testing.assert_close(weights, expected)
    assert by_loss(torch.log(torch.tensor([3.0, 20.0])), torch.tensor([3, 20]), Reweighting(kind=kind)).tolist() == [1.0, 1.0], "chance"


def test_weights_reach_the_total(prepared):
    config, _, windows = prepared(loss={"rank": {"weight": 1, "name": "softmax"}, "lm": {"weight": 0}}, reweighting={})
    batch = collate(windows)
    scores = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(0))
    terms = TotalLoss(config)(Seen(scores, torch.zeros(0)), batch, 0.0)
    expected = (terms.rank * by_loss(terms.rank, batch.mask.sum(-1), Reweighting())).mean()
    assert float(terms.total) == pytest.approx(float(expected), rel=1e-6)


def test_the_probe_hears_what_a_middle_layer_says_of_each_passage(prepared):
    config, model, windows = prepared(
        loss={"rank": {"name": "listnet", "weight": 1}, "lm": {"weight": 0}, "probe": {"weight": 2, "layer": 1}}
    )
    network = load_network(model, config).eval()
    batch = collate(windows)
    seen = network(batch=batch)
    opening = network.get_output_embeddings().weight[windows[0].prompt[-1]]
    for row, window in enumerate(windows):
        states = network(input_ids=torch.tensor([window.prompt]), output_hidden_states=True, use_cache=False).hidden_states[1][0]
        labels = [window.prompt[mark] for mark in window.marks]
        assert labels == list(model.prompter.label_ids(len(window.grades)))  # compact: the label comes after its passage
        wanted = torch.nn.functional.rms_norm(states[window.marks], (states.shape[-1],)) @ opening
        torch.testing.assert_close(seen.marks[row, : len(labels)], wanted, rtol=1e-4, atol=1e-4)
    terms = TotalLoss(config)(seen, batch, 0.0)
    assert float(terms.total) == pytest.approx(float((terms.rank + 2 * terms.probe).mean()), rel=1e-6)
    packed = network(batch=collate(windows, packing=True)).marks
    torch.testing.assert_close(packed[batch.mask], seen.marks[batch.mask], rtol=1e-4, atol=1e-4)


def test_a_probe_beyond_the_last_layer_is_refused(prepared):
    config, model, _ = prepared(loss={"probe": {"weight": 1, "layer": 3}})
    with pytest.raises(InputError, match=r"loss.probe.layer: 3, but the model has 2 layers"):
        load_network(model, config)
