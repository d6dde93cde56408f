"""A decision endpoint, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ShapeName = Literal["auto", "systemone", "sglang", "openai"]


class DecisionSettings(BaseModel):
    """What may be said of the host: `--engine-arg` on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served_model: str | None = Field(default=None, description="the model's name at the host; by default --model")
    shape: ShapeName = Field(default="auto", description="of question and answer: vLLM's /v1/systemone, SGLang's or OpenAI's /v1/decisions")
    connections: int = Field(default=32, ge=1, description="to each server")
    timeout: float = Field(default=120.0, gt=0, description="seconds that a window may take")


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """`--backend decisions`: a host that answers typed questions with probabilities. A key is read from OPENAI_API_KEY."""

    base_urls: tuple[str, ...] = ()
    server: DecisionSettings = field(default_factory=DecisionSettings)
    transport: Any = None
    """httpx's, for tests"""
