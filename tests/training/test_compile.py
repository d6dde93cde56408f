"""`tuning.compile`, through `train`."""

from __future__ import annotations

import shutil

import pytest
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from torch._inductor import cpp_builder
from torch._inductor.exc import InvalidCxxCompiler

from firstrank.reranker.errors import InputError
from firstrank.training.run import train
from tests.training.interrupted import curve

PLAIN = {"lora": {"rank": 4, "alpha": 8}}


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_layers_change_no_loss_and_no_name_of_a_weight(recipe, tmp_path):
    plain = recipe(steps=3, tuning=PLAIN, output=str(tmp_path / "plain"))
    compiled = recipe(steps=3, tuning=PLAIN | {"compile": True}, output=str(tmp_path / "compiled"))
    train(plain)
    counters.clear()
    train(compiled)
    assert counters["stats"]["unique_graphs"] > 0
    for mine, theirs in zip(curve(compiled), curve(plain), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    names = [load_file(config.output / "adapter" / "adapter_model.safetensors").keys() for config in (plain, compiled)]
    assert names[0] == names[1]


def test_without_a_compiler_nothing_is_compiled(recipe, monkeypatch):
    def missing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    config = recipe(steps=1, tuning=PLAIN | {"compile": True})
    with pytest.raises(InputError, match=r"tuning.compile: there is no C\+\+ compiler: install g\+\+"):
        train(config)
