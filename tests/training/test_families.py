"""`firstrank train`, export and `rerank` with a tiny network of every family: five steps, and the exported model is the trained one."""

from __future__ import annotations

import json
import math

import pytest
import torch

from firstrank.reranker.reranker import Reranker
from firstrank.training.attention import WINDOWS
from firstrank.training.log import LOG, read_log
from firstrank.training.network import load_network
from firstrank.training.run import open_model, train
from firstrank.training.samples.batch import collate
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples
from tests.training.conftest import as_collection
from tests.training.families import FAMILIES, make_family

PLAIN = {"llama", "qwen2", "qwen3", "qwen3-moe", "phi3"}
"""their attention is causal and nothing else"""
QUICK = ("llama", "gemma2", "gpt-oss")


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES])
def test_a_family_is_trained_exported_and_ranks(name, recipe, tiny_model, tmp_path):
    model = make_family(name, tiny_model, tmp_path / "model")
    tuning = {"lora": {"rank": 2, "alpha": 4}} if name != "gpt-oss" else {"lora": {"rank": 2, "modules": ["q_proj", "v_proj"]}}
    config = recipe(model=str(model), steps=5, tuning=tuning, batch={"windows": 2, "accumulation": 1}, draw={"window": [3, 5]})
    opened = open_model(config)
    network = load_network(opened, config).eval()
    assert (network.config._attn_implementation == WINDOWS) is (name in PLAIN)
    windows = Samples(config, opened, Examples(config.train), 8)
    samples = [windows[i] for i in range(3)]
    with torch.no_grad():
        together = network(batch=collate(samples, packing=network.config._attn_implementation == WINDOWS)).scores
        for row, sample in zip(together, samples, strict=True):
            alone = network(batch=collate([sample])).scores[0]
            torch.testing.assert_close(row[: len(alone)], alone, rtol=1e-3, atol=1e-3)
    folder = train(config)
    losses = [entry["loss"] for entry in read_log(config.output / LOG)]
    assert len(losses) == 5
    assert losses[0] != losses[-1]
    first = json.loads(config.train[0].read_text().splitlines()[0])
    with Reranker(str(folder), threads=1) as reranker:
        found = reranker.rank(first["query"], [passage["text"] for passage in first["passages"]])
    assert sorted(result.index for result in found) == list(range(5))


HALF = [("lora", "mixed"), ("lora", "bfloat16"), ("full", "mixed"), ("full", "bfloat16")]
QUICK_HALF = [("llama", "lora", "bfloat16"), ("llama", "full", "bfloat16"), ("gpt2", "lora", "mixed")]


@pytest.mark.parametrize(
    ("name", "method", "precision"),
    [
        one if one in QUICK_HALF else pytest.param(*one, marks=pytest.mark.slow)
        for one in ((name, method, precision) for name in FAMILIES for method, precision in HALF)
    ],
)
def test_a_family_is_trained_and_scored_in_bf16(name, method, precision, recipe, train_file, tiny_model, tmp_path, monkeypatch):
    """With an adapter on some layers and parts only: the others compute in bf16 too."""
    monkeypatch.setattr("firstrank.training.machine._has_bf16", lambda: True)
    model = make_family(name, tiny_model, tmp_path / "model")
    modules = ["c_attn"] if name == "gpt2" else ["qkv_proj"] if name == "phi3" else ["q_proj", "v_proj"]
    tuning = {"method": method, "precision": precision, "lora": {"rank": 2, "modules": modules, "layers": [1, 1]}}
    dev = as_collection(train_file, tmp_path / "dev") | {"limit": 2, "every": 2}
    sizes = {"steps": 2, "batch": {"windows": 2, "accumulation": 1}, "draw": {"window": [3, 5]}, "checkpoints": {"every": 2}}
    config = recipe(model=str(model), tuning=tuning, dev=dev, **sizes)
    train(config)
    log = read_log(config.output / LOG)
    assert all(math.isfinite(entry["loss"]) for entry in log if "loss" in entry)
    assert [entry["step"] for entry in log if "ndcg@10" in entry] == [0, 2]
