"""An engine that does not start says why, in a sentence."""

from __future__ import annotations

import json
import shutil

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer

pytestmark = pytest.mark.vllm


def refused(model="first-smollm2", **engine):
    with pytest.raises(ModelError) as error:
        open_scorer(model, "vllm", engine=engine)
    said = str(error.value)
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    return said


def test_no_memory(capfd):
    said = refused(kv_cache_memory_bytes="1MiB", max_model_len=4096)
    assert "vLLM does not start: ValueError: " in said
    assert "memory" in said
    assert "(its log: " in said
    spoken = capfd.readouterr()
    assert spoken.out == spoken.err == ""


@pytest.mark.parametrize(("mode", "name"), [("generate", "HorseForCausalLM"), ("pooling", "HorseForSequenceClassification")])
def test_a_model_that_vllm_does_not_know(tmp_path, mode, name):
    folder = shutil.copytree(load_model("first-smollm2").path, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["HorseForCausalLM"], "auto_map": {}}))
    said = refused(str(folder), mode=mode)
    assert name in said
    assert len(said) < 700


def test_more_devices_than_there_are():
    said = refused(data_parallel_size=4096)
    assert "its parallel sizes take 4096 CPU cores; this machine has" in said
