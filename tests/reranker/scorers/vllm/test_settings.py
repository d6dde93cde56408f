"""vLLM's settings, checked without vLLM: from the YAML, from the command line, and what cannot work."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest

from firstrank.reranker.errors import InputError, MissingExtra, ModelError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.vllm.options import VLLMOptions
from firstrank.reranker.scorers.vllm.scorer import VLLMScorer, _Generating, _Pooling, _Sampling
from firstrank.reranker.scorers.vllm.settings import engine_settings, mode_of, network_config, parsed_settings
from firstrank.reranker.setup import read_settings


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(str(tiny_model))


def with_engine(model, **engine):
    return replace(model, spec=model.spec.model_copy(update={"engine": engine}))


def settings_of(model, given):
    return engine_settings(model, parsed_settings(given))


def engine_args(texts):
    return read_settings({"engine_arg": texts})["engine"]


@pytest.fixture
def adapter(tmp_path):
    def made(rank):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
        return str(tmp_path)

    return made


def test_what_is_given_stands_in_place_of_what_the_yaml_says(model):
    spoken = with_engine(model, tensor_parallel_size=2, quantization="fp8")
    settings = settings_of(spoken, {"tensor_parallel_size": 4, "kv_cache_memory_bytes": "2GiB"})
    assert settings.of_vllm()["tensor_parallel_size"] == 4
    assert settings.of_vllm()["quantization"] == "fp8"
    assert settings.of_vllm()["kv_cache_memory_bytes"] == 2 << 30
    assert {"mode", "lora", "head_dtype", "max_num_seqs"}.isdisjoint(settings.of_vllm())


@pytest.mark.parametrize(("given", "scores", "ordering"), [({}, "float32", "model"), ({"head_dtype": "model"}, "model", "model")])
def test_labels_are_read_in_fp32_and_an_ordering_is_written_in_the_models_type(model, given, scores, ordering):
    """In half precision vLLM's CPU build casts the whole head to fp32 for each token: the generating baseline must not pay for that."""
    settings = settings_of(model, given)
    for ask, expected in ((_Sampling(model), scores), (_Pooling(model), scores), (_Generating(model, True), ordering)):
        assert ask.arguments(settings)["hf_overrides"]["head_dtype"] == expected


def test_prefix_caching_and_chunked_prefill_are_on(model):
    settings = settings_of(model, {}).of_vllm()
    assert settings["enable_prefix_caching"] is settings["enable_chunked_prefill"] is True


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"tensor_paralel_size": 2}, "tensor_paralel_size: unknown; there are mode, tensor_parallel_size"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size: Input should be greater than or equal to 1"),
        ({"tensor_parallel_size": 3}, "tensor_parallel_size 3 does not divide its 4 attention heads"),
        ({"pipeline_parallel_size": 3}, "pipeline_parallel_size 3 is more than its 2 layers"),
        ({"quantization": "fp3"}, "quantization: Input should be 'fp8', 'awq'"),
        ({"gpu_memory_utilization": 90}, "gpu_memory_utilization: Input should be less than or equal to 1"),
        ({"max_model_len": 100_000}, "max_model_len 100000 is more than the context of 8192 tokens"),
        ({"mode": "poolling"}, "mode: Input should be 'auto', 'generate' or 'pooling'"),
        ({"lora": "/nowhere"}, "/nowhere has no adapter_config.json"),
    ],
)
def test_what_cannot_work_is_refused_before_any_engine_starts(model, given, problem):
    with pytest.raises(ModelError, match=problem):
        settings_of(model, given)


def test_a_dtype_that_is_none_is_refused(model):
    with pytest.raises(ModelError, match="--dtype float33: unknown; use auto, float32, bfloat16, float16"):
        VLLMScorer(model, VLLMOptions(dtype="float33"))


@pytest.mark.parametrize(("rank", "most"), [(1, 8), (8, 8), (24, 32), (512, 512)])
def test_an_adapters_rank_is_read_from_it(model, adapter, rank, most):
    settings = settings_of(model, {"lora": adapter(rank)}).of_vllm()
    assert settings["enable_lora"] is True
    assert settings["max_lora_rank"] == most


def test_an_adapter_of_a_rank_that_vllm_does_not_take_is_refused(model, adapter):
    with pytest.raises(ModelError, match="r is 1024; vLLM takes ranks from 1 to 512"):
        settings_of(model, {"lora": adapter(1024)})


def test_the_faster_mode_is_taken_where_it_is_exact(model):
    assert mode_of(model, settings_of(model, {}), network_config(model)) == "pooling"


@pytest.mark.parametrize("head", ["final_logit_softcapping", "logit_scale", "logits_scaling"])
def test_a_head_that_does_more_than_a_matrix_cannot_be_pooled(model, head):
    network = network_config(model) | {head: 30.0}
    settings = settings_of(model, {})
    assert mode_of(model, settings, network) == "generate"
    with pytest.raises(ModelError, match=f"its head has {head}.*use mode=generate"):
        mode_of(model, settings.model_copy(update={"mode": "pooling"}), network)


def test_a_model_that_generates_cannot_be_pooled(tiny_model):
    model = load_model(str(tiny_model), answer="permutation")
    with pytest.raises(ModelError, match="it generates its answer"):
        settings_of(model, {"mode": "pooling"})


def test_the_command_line_reads_values_as_yaml():
    given = engine_args(["tensor_parallel_size=2", "enforce_eager=true", "kv_cache_memory_bytes=2GiB", "lora=/a=b"])
    assert given == {"tensor_parallel_size": 2, "enforce_eager": True, "kv_cache_memory_bytes": "2GiB", "lora": "/a=b"}


@pytest.mark.parametrize("text", ["", "fp8", "=2", "quantization="])
def test_another_form_is_refused(text):
    with pytest.raises(InputError, match="give KEY=VALUE"):
        engine_args([text])


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(InputError, match=r"--engine-arg mode=\[: the value is not YAML"):
        engine_args(["mode=["])


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is here")
def test_without_vllm_the_package_to_install_is_named(model):
    with pytest.raises(MissingExtra, match=r"--backend vllm needs the package 'vllm': pip install 'firstrank\[vllm\]'"):
        VLLMScorer(model)
