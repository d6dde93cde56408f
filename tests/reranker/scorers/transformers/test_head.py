"""The head's label rows: what real architectures do to their logits is done to these too, and what is unknown is refused."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.scorers.transformers.head import LabelHead

SIZE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
KINDS = {
    "plain, tied": ("LlamaConfig", {"tie_word_embeddings": True}),
    "plain, untied": ("LlamaConfig", {"tie_word_embeddings": False}),
    "soft cap": ("Gemma2Config", {"head_dim": 8, "final_logit_softcapping": 3.0}),
    "scale": ("CohereConfig", {"logit_scale": 0.0625}),
    "divisor": ("GraniteConfig", {"logits_scaling": 8.0}),
    "bias": ("PhiConfig", {}),
}


def network_of(kind, dtype="float32"):
    import torch
    import transformers

    name, more = KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, name)(**SIZE, **more, initializer_range=0.5)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    if (bias := network.get_output_embeddings().bias) is not None:
        torch.nn.init.normal_(bias)
    return network.to(getattr(torch, dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 20, 100])
def test_rows_equal_the_model_s_own_logits(kind, n):
    import torch

    network = network_of(kind)
    ids, labels = torch.arange(40).unsqueeze(0), tuple(range(7, 7 + 2 * n, 2))
    with torch.inference_mode():
        hidden = network.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
        ours = LabelHead(network)(hidden, labels)
        own = network(input_ids=ids).logits[0, -1, list(labels)]
    assert ours.dtype == torch.float32
    assert ours.tolist() == own.tolist() if kind.startswith("plain") else torch.allclose(ours, own, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_product_for_all_rows_of_a_batch_gives_what_each_gives(kind):
    """As a GPU computes them."""
    import torch

    network = network_of(kind)
    with torch.inference_mode():
        hidden = network.base_model(input_ids=torch.arange(40).unsqueeze(0), use_cache=False).last_hidden_state[0, -3:]
        head = LabelHead(network)
        each = torch.stack([head(one, tuple(range(5, 25))) for one in hidden])
        head._apart = False
        together = head(hidden, tuple(range(5, 25)))
    assert together.shape == (3, 20)
    assert torch.allclose(together, each, atol=1e-5)


def test_bf16_rows_are_finer_than_the_model_s_own():
    import torch

    network = network_of("plain, untied", "bfloat16")
    with torch.inference_mode():
        hidden = network.base_model(input_ids=torch.arange(40).unsqueeze(0), use_cache=False).last_hidden_state[0, -1]
        ours = LabelHead(network)(hidden, tuple(range(128)))
        exact = network.get_output_embeddings().weight[:128].double() @ hidden.double()
    assert ours.dtype == torch.float32
    assert float((ours - exact).abs().max()) < 1e-4


def test_a_head_that_is_no_plain_matrix_computes_its_own_row():
    import torch

    class Quantised(torch.nn.Linear):
        def forward(self, hidden):
            return super().forward(hidden) * 2

    network = network_of("plain, untied")
    network.lm_head.__class__ = Quantised
    with torch.inference_mode():
        hidden = network.base_model(input_ids=torch.arange(40).unsqueeze(0)).last_hidden_state[0, -1]
        own = network(input_ids=torch.arange(40).unsqueeze(0)).logits[0, -1, [5, 9]]
        assert torch.allclose(LabelHead(network)(hidden, (5, 9)), own, atol=1e-5)


def test_a_head_that_does_more_is_refused():
    network = network_of("plain, untied")
    network.config.final_logit_softcapping = 1.0  # the model itself knows nothing of it
    with pytest.raises(ModelError, match=r"its own label logits differ by .* please report the model"):
        LabelHead(network)


def test_a_model_without_a_head_is_refused():
    from transformers import LlamaConfig, LlamaModel

    with pytest.raises(ModelError, match="no output head"):
        LabelHead(LlamaModel(LlamaConfig(**SIZE)))
