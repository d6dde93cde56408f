"""vLLM's settings that a user may give, in a model's YAML (`engine:`) or on the command line, checked before the engine starts.

Knows vLLM's names for them, but does not import vllm: a mistake costs no start of an engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError

from firstrank.reranker.config import explained
from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.loaded import Model

Mode = Literal["auto", "generate", "pooling"]
"""whether label logits come from the sampler of one token, or from a pooler that holds the head's label rows only"""

_DTYPES = ("float32", "bfloat16", "float16")
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class EngineSettings(BaseModel):
    """Names and meanings are vLLM's, but for `mode` and `lora`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(default="auto", description="generate one token, or pooling; auto is pooling where that is exact")
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that share each layer")
    pipeline_parallel_size: int = Field(default=1, ge=1, description="GPUs that take a part of the layers each")
    data_parallel_size: int = Field(default=1, ge=1, description="GPUs that hold a copy each")
    distributed_executor_backend: Literal["mp", "ray"] | None = Field(default=None, description="mp: one machine; ray: several")
    quantization: Literal["fp8", "awq", "awq_marlin", "gptq", "gptq_marlin", "compressed-tensors", "bitsandbytes"] | None = Field(
        default=None, description="by default the weights' own"
    )
    kv_cache_dtype: Literal["auto", "fp8"] = Field(default="auto", description="fp8 halves the cache")
    head_dtype: Literal["float32", "model"] | None = Field(default=None, description="of the head; a quantised one takes `model` only")
    """None: float32 for labels' logits, which tie in less; the model's for an ordering that is written out."""
    max_model_len: int | None = Field(default=None, ge=64, description="by default the context of the model's settings")
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1, description="the share of a GPU's memory")
    kv_cache_memory_bytes: ByteSize | None = Field(default=None, gt=0, description="2GiB, say; on a CPU 2GiB by default")
    max_num_seqs: int | None = Field(default=None, ge=1, description="windows in one step")
    max_num_batched_tokens: int | None = Field(default=None, ge=1, description="tokens in one step")
    enable_prefix_caching: bool = Field(default=True, description="a query's windows share what their prompts begin with")
    enable_chunked_prefill: bool = Field(default=True, description="long prompts are read in parts")
    enforce_eager: bool | None = Field(default=None, description="no compilation; by default on a CPU only, where it takes minutes")
    lora: str | None = Field(default=None, description="a LoRA adapter's folder")

    def of_vllm(self) -> dict[str, Any]:
        """Those that vLLM takes under the same name, where they were given or are not None."""
        ours = {"mode", "lora", "head_dtype"}
        settings = self.model_dump(exclude=ours, exclude_none=True) | self._lora()
        return {name: int(value) if isinstance(value, ByteSize) else value for name, value in settings.items()}

    @property
    def devices(self) -> int:
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size

    def _lora(self) -> dict[str, Any]:
        if self.lora is None:
            return {}
        rank = lora_rank(Path(self.lora))
        return {"enable_lora": True, "max_loras": 1, "max_lora_rank": next(most for most in _LORA_RANKS if most >= rank)}


def parsed_settings(given: Mapping[str, Any]) -> EngineSettings:
    """Settings by their names. Raises ModelError for a name that does not exist and for a value that is not one of its own."""
    try:
        return EngineSettings.model_validate(dict(given))
    except ValidationError as error:
        raise ModelError(f"engine settings: {_explained(error)}") from error


def engine_settings(model: Model, given: EngineSettings) -> EngineSettings:
    """A model's settings with those given in their place. Raises ModelError for what cannot work, and says which and why."""
    try:
        settings = parsed_settings({**model.spec.engine, **given.model_dump(exclude_unset=True)})
    except ModelError as error:
        raise ModelError(f"model {model.name!r}: {error}") from error
    _check(model, settings)
    return settings


def dtype_of(name: str | None) -> str | None:
    """The weights' type; None where it is left to the device. Raises ModelError for a name that is none."""
    if name not in (None, "auto", *_DTYPES):
        raise ModelError(f"--dtype {name}: unknown; use auto, {', '.join(_DTYPES)}")
    return None if name == "auto" else name


def lora_rank(folder: Path) -> int:
    """The rank of a LoRA adapter. Raises ModelError for a folder that holds none, or one of a rank that vLLM does not take."""
    file = folder / "adapter_config.json"
    try:
        rank = json.loads(file.read_text(encoding="utf-8"))["r"]
    except FileNotFoundError as error:
        raise ModelError(f"lora: {folder} has no adapter_config.json: give the folder of a LoRA adapter") from error
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"lora: {file}: not the configuration of a LoRA adapter: {error}") from error
    if not isinstance(rank, int) or not 1 <= rank <= _LORA_RANKS[-1]:
        raise ModelError(f"lora: {file}: r is {rank!r}; vLLM takes ranks from 1 to {_LORA_RANKS[-1]}")
    return rank


def mode_of(model: Model, settings: EngineSettings, network: Mapping[str, Any]) -> Literal["generate", "pooling"]:
    """The scorer's mode: `auto` is pooling, the faster one, wherever its logits are exact. `network` is the model's config.json.

    Raises ModelError where the wanted mode cannot give exact logits.
    """
    obstacle = _pooling_obstacle(model, settings, network)
    if settings.mode == "pooling" and obstacle:
        raise ModelError(f"model {model.name!r}: mode=pooling cannot rank with it: {obstacle}; use mode=generate")
    if settings.mode == "auto":
        return "generate" if obstacle else "pooling"
    return settings.mode


def network_config(model: Model) -> dict[str, Any]:
    """The model's config.json; of a composite model, its language part's. Raises ModelError for an adapter."""
    if model.base is not None:
        raise ModelError(f"model {model.name!r}: is an adapter; with vLLM give --model {model.base} --engine-arg lora={model.path}")
    config: dict[str, Any] = json.loads((Path(model.path) / "config.json").read_text(encoding="utf-8"))
    return {**config, **config.get("text_config", {})}


def _pooling_obstacle(model: Model, settings: EngineSettings, network: Mapping[str, Any]) -> str | None:
    if model.spec.answer == "permutation":
        return "it generates its answer"
    if settings.lora:
        return "a LoRA adapter may change the head"
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if network.get(name) not in (None, 1, 1.0):
            return f"its head has {name}, which a pooler leaves out"
    return None


def _check(model: Model, settings: EngineSettings) -> None:
    network = network_config(model)
    heads, parallel = network.get("num_attention_heads"), settings.tensor_parallel_size
    if isinstance(heads, int) and heads % parallel:
        raise ModelError(f"model {model.name!r}: tensor_parallel_size {parallel} does not divide its {heads} attention heads")
    layers = network.get("num_hidden_layers")
    if isinstance(layers, int) and settings.pipeline_parallel_size > layers:
        raise ModelError(f"model {model.name!r}: pipeline_parallel_size {settings.pipeline_parallel_size} is more than its {layers} layers")
    if settings.max_model_len is not None and settings.max_model_len > model.context:
        raise ModelError(
            f"model {model.name!r}: max_model_len {settings.max_model_len} is more than the context of {model.context} tokens "
            "in its settings"
        )
    if settings.lora is not None:
        lora_rank(Path(settings.lora))
    mode_of(model, settings, network)


def _explained(error: ValidationError) -> str:
    unknown = [".".join(map(str, one["loc"])) for one in error.errors() if one["type"] == "extra_forbidden"]
    if unknown:
        return f"{', '.join(unknown)}: unknown; there are {', '.join(EngineSettings.model_fields)}"
    return explained(error)
