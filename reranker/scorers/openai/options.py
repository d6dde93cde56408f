"""Where servers of a model are, and how they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firstrank.reranker.config import explained
from firstrank.reranker.errors import InputError

Labels = Literal["ids", "top", "sglang", "llamacpp", "ollama"]
"""see `firstrank.reranker.scorers.openai.engines`"""


class ServerSettings(BaseModel):
    """What may be said of the servers: `--engine-arg` on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    served_model: str | None = Field(default=None, description="the model's name at the server; by default the only one that it lists")
    labels: Labels = Field(default="ids", description="how label logits are asked for: by token id, top-k logprobs, or an engine's own way")
    top: int = Field(default=20, ge=1, description="with labels=top or ollama, how many logprobs to ask for")
    prompts: Literal["ids", "text"] = Field(default="ids", description="with labels=top, how prompts go out: as token ids, or as text")
    connections: int = Field(default=64, ge=1, description="to each server")
    timeout: float = Field(default=120.0, gt=0, description="seconds that a window may take")


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """`--backend openai`: running servers. A key, where they want one, is read from the environment's OPENAI_API_KEY."""

    base_urls: tuple[str, ...] = ()
    server: ServerSettings = field(default_factory=ServerSettings)
    transport: Any = None
    """httpx's, for tests: one that serves both its sync and its async client"""

    def servers(self) -> list[str]:
        """Each server once. Raises InputError where none is named."""
        if not self.base_urls:
            raise InputError("backend openai: no server is named: give --base-url (base_urls in Python), for example http://127.0.0.1:8000")
        return list(dict.fromkeys(self.base_urls))


def server_settings(given: Mapping[str, Any], kind: type[BaseModel] = ServerSettings, backend: str = "openai") -> BaseModel:
    """Settings by their names. Raises InputError for a name that does not exist and for a value that is not one of its own."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        known = ", ".join(kind.model_fields)
        raise InputError(f"backend {backend}, engine settings (there are {known}): {explained(error)}") from error
