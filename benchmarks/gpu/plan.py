"""What is measured, in which sizes, and how long each part may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from firstrank.reranker.scorers.transformers.options import Device

Row = dict[str, Any]
"""column -> value"""


class Shape(NamedTuple):
    """A network's sizes, and the family whose arithmetic it has."""

    family: str
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    tied: bool = False
    """whether the output head is the embeddings"""

    @property
    def layer_parameters(self) -> int:
        """Of all layers, without norms."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.key_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def end_parameters(self) -> int:
        """Of embeddings and output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def config(self) -> dict[str, Any]:
        """By transformers' names."""
        return {
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": self.head,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
        }


SHAPES = {
    "SmolLM2-135M": Shape("Llama", 576, 1536, 30, 9, 3, 64, 49152, tied=True),
    "Qwen3-0.6B": Shape("Qwen3", 1024, 3072, 28, 16, 8, 128, 151936, tied=True),
    "Qwen3-1.7B": Shape("Qwen3", 2048, 6144, 28, 16, 8, 128, 151936, tied=True),
    "Qwen3-4B": Shape("Qwen3", 2560, 9728, 36, 32, 8, 128, 151936, tied=True),
    "Mistral-7B": Shape("Mistral", 4096, 14336, 32, 32, 8, 128, 32768),
    "Qwen3-8B": Shape("Qwen3", 4096, 12288, 36, 32, 8, 128, 151936),
    "Qwen3-14B": Shape("Qwen3", 5120, 17408, 40, 40, 8, 128, 151936),
    "tiny": Shape("Qwen3", 64, 128, 2, 4, 2, 16, 1200, tied=True),
}
"""from the models' published configurations"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a whole run."""

    device: Device
    small: str = "Qwen3-0.6B"
    """the shape for latency, generation and the service"""
    shapes: tuple[str, ...] = ("Qwen3-0.6B", "Qwen3-8B", "Mistral-7B")
    """for throughput"""
    parity: tuple[str, ...] = ("tiny", "SmolLM2-135M")
    window: int = 20
    candidates: int = 100
    tokens: int = 100
    """of a passage"""
    seconds: float = 4.0
    """of one measurement, about"""
    clients: tuple[int, ...] = (1, 8, 64)
    generating: tuple[int, ...] = (1, 8, 32)
    product: int = 8192
    """rows and columns of the matrices whose product is the roof"""
    training: bool = True
    """the sizes of training: real ones, or tiny"""
    weights: bool = True
    """whether parity is looked at with real weights too, where they are here"""


SMOKE = Plan(
    device="auto",
    small="tiny",
    shapes=("tiny",),
    parity=("tiny",),
    window=4,
    candidates=10,
    tokens=16,
    seconds=0.02,
    clients=(1, 2),
    generating=(1, 2),
    product=64,
    training=False,
    weights=False,
)


class Stage(NamedTuple):
    """A part of a run: rows of one table."""

    name: str
    says: str
    seconds: float
    """after which it is stopped, on a GPU"""
    rows: Callable[[Plan, Mapping[str, float]], Iterator[Row]]
    """of a plan and the roofs that were measured: arithmetic -> operations a second"""
