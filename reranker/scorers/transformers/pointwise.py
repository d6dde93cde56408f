"""Passages read one a prompt through transformers: right-padded batches within a token budget, and the score at each last position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstrank.reranker.prompt.pointwise import PointPrompter, PointRequest
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.scorers.point_session import Read
from firstrank.reranker.scorers.transformers.head import LabelHead
from firstrank.reranker.types import Scores

if TYPE_CHECKING:
    import torch

CPU_TOKENS = 2048
"""padded tokens of a forward pass on a CPU: more does not make it faster"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Some passages of one request: what their prompts share, and what each has of its own."""

    header: Sequence[int]
    suffixes: Sequence[Sequence[int]]

    @property
    def tokens(self) -> int:
        return sum(len(self.header) + len(suffix) for suffix in self.suffixes)

    @property
    def prompts(self) -> list[list[int]]:
        return [[*self.header, *suffix] for suffix in self.suffixes]


def reading_by(batcher: Batcher[Any, Scores]) -> Read:
    """A request's passages as one item of a batcher."""

    async def read(encoded: PointRequest, indices: tuple[int, ...]) -> Scores:
        reading = Reading(encoded.header, [encoded.suffixes[i] for i in indices])
        return await batcher.score(reading, reading.tokens, encoded)

    return read


class Reader:
    """Readings -> the scores of their passages, with forward passes of at most `most` padded tokens over all of them."""

    def __init__(self, network: Any, prompter: PointPrompter, *, most: int) -> None:
        self._network, self._prompter, self._most = network, prompter, most
        self._head = LabelHead(network)

    def __call__(self, readings: Sequence[Reading]) -> list[Scores]:
        prompts = [prompt for reading in readings for prompt in reading.prompts]
        values = [0.0] * len(prompts)
        for batch in self._batches(prompts):
            for place, value in zip(batch, self._values([prompts[i] for i in batch]), strict=True):
                values[place] = value
        found = iter(values)
        return [Scores(tuple(next(found) for _ in reading.suffixes)) for reading in readings]

    def _batches(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Places of prompts, the longest first, so many at once as the budget holds."""
        waiting = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        while waiting:
            count = max(1, self._most // len(prompts[waiting[0]]))
            yield waiting[:count]
            waiting = waiting[count:]

    def _values(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """One forward pass; causal attention cannot see the padding, which stands on the right."""
        import torch

        lengths = [len(prompt) for prompt in prompts]
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        hidden: torch.Tensor = self._network.base_model(input_ids=ids.to(self._network.device), use_cache=False).last_hidden_state
        return [
            self._prompter.value(self._head(hidden[row, length - 1], self._prompter.ids).tolist()) for row, length in enumerate(lengths)
        ]
