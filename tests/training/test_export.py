"""An adapter whose base weights no process held as a whole is merged into weights that are read anew."""

from __future__ import annotations

import pytest
import torch

from firstrank.reranker.errors import ModelError
from firstrank.training.export import read_anew
from firstrank.training.network import load_network
from firstrank.training.run import open_model


@pytest.mark.parametrize("lora", [{"rank": 4}, {"rank": 2, "dora": True, "layers": [1, 1]}], ids=["LoRA", "DoRA of one layer"])
def test_merged_into_weights_read_anew_it_is_what_it_was(lora, recipe):
    config = recipe(tuning={"lora": lora})
    model = open_model(config)
    network = load_network(model, config)
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    anew = read_anew(config, model, network.state_dict()).merge_and_unload().state_dict()
    whole = network.merge_and_unload().state_dict()
    assert anew.keys() == whole.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(anew[name], weight, rtol=0, atol=0)


def test_an_adapter_that_does_not_fit_is_not_merged(recipe):
    config = recipe(tuning={"lora": {"rank": 4}})
    model = open_model(config)
    state = load_network(model, config).state_dict()
    name = next(name for name in state if "lora_A" in name)
    with pytest.raises(ModelError, match="does not fit the base weights: not merged"):
        read_anew(config, model, {other: value for other, value in state.items() if other != name})
