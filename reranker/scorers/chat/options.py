"""A hosted LLM, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ChatSettings(BaseModel):
    """What may be said of the host: `--engine-arg` on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served_model: str | None = Field(default=None, description="the model's name at the host; by default --model")
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="the answer's: a JSON schema, text, or JSON where it is taken"
    )
    answer_tokens: int | None = Field(
        default=None, ge=1, description="tokens of an answer, thinking included; by default what an ordering or a query takes"
    )
    limit: Literal["max_tokens", "max_completion_tokens"] = Field(default="max_tokens", description="what the host calls that limit")
    temperature: float | None = Field(default=0.0, ge=0, description="null leaves it to the host")
    reasoning_effort: str | None = Field(default=None, description="for models that think: low, medium, high …")
    connections: int = Field(default=16, ge=1, description="to each server")
    timeout: float = Field(default=300.0, gt=0, description="seconds that a window may take")


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """`--backend chat`: an LLM over the chat API. A key, where one is wanted, is read from the environment's OPENAI_API_KEY."""

    base_urls: tuple[str, ...] = ()
    max_cost: float | None = None
    """US dollars that all windows together may cost; the prices are in the model's YAML"""
    server: ChatSettings = field(default_factory=ChatSettings)
    transport: Any = None
    """httpx's, for tests"""
