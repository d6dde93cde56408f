"""How a model runs in an engine of vLLM."""

from __future__ import annotations

from dataclasses import dataclass

from firstrank.reranker.scorers.vllm.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class VLLMOptions:
    """`--backend vllm`: an engine in this process."""

    dtype: str | None = None
    """None or "auto": fp32 on a CPU; on a GPU what the model's YAML says, else bf16"""
    engine: EngineSettings = EngineSettings()
    """vLLM's settings; those that are given here stand in place of those in the model's YAML"""
    constrained: bool = True
    """for models that generate: exactly one complete ordering, and stop"""
