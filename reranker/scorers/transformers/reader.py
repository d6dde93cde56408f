"""A network as a function: prompts -> the hidden state at the last token of each of their segments.

`Padded` is the plain pass of transformers, to the bit for a prompt alone. `Packed` reads what a request's prompts share once, and pads
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstrank.reranker.scorers.transformers.packed import Layout, Prefix, Segment, layout, pack, reading, unpack

if TYPE_CHECKING:
    import torch

CPU_TOKENS = 2048
"""tokens of a pass on a CPU: what a layer makes of more leaves the caches"""
_SAME = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""of the largest value: by more than this a packed pass would not be the plain one"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments behind what they share, which make one prompt each; `n` passages stand in them."""

    prefix: Prefix
    segments: tuple[Sequence[int], ...]
    n: int

    @property
    def wholes(self) -> list[list[int]]:
        return [[*self.prefix.ids, *own] for own in self.segments]

    @property
    def tokens(self) -> int:
        return sum(len(self.prefix.ids) + len(one) for one in self.segments)


Reader = Callable[[Sequence[Prompt]], "torch.Tensor"]
"""prompts -> [segments of all, hidden size]"""


class Padded:
    """Passes of at most `most` tokens, padded on the right, where causal attention cannot see the padding."""

    def __init__(self, network: Any, device: torch.device, most: int) -> None:
        self._network, self._device, self._most = network, device, most

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        import torch

        wholes = [whole for prompt in prompts for whole in prompt.wholes]
        found: list[Any] = [None] * len(wholes)
        for batch in self._batches(wholes):
            for place, hidden in zip(batch, self._pass([wholes[i] for i in batch]), strict=True):
                found[place] = hidden
        return torch.stack(found)

    def _batches(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Places of prompts, the longest first, so many at once as the budget holds."""
        waiting = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        while waiting:
            count = max(1, self._most // len(prompts[waiting[0]]))
            yield waiting[:count]
            waiting = waiting[count:]

    def _pass(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        import torch

        lengths = torch.tensor(list(map(len, prompts)), device=self._device)
        ids = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
        for row, one in enumerate(prompts):
            ids[row, : len(one)] = torch.tensor(one)
        hidden = self._network.base_model(input_ids=ids.to(self._device), use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[torch.arange(len(prompts), device=self._device), lengths - 1]
        return found


class Packed:
    """Packed passes over a network that `pack` has changed."""

    def __init__(self, network: Any, device: torch.device, most: int) -> None:
        self._network, self._device, self._most = network, device, most

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        import torch

        for prompt in prompts:
            self._read(prompt.prefix)
        segments = [Segment(own, prompt.prefix) for prompt in prompts for own in prompt.segments]
        return torch.cat([self._pass(layout(chunk, self._device)) for chunk in self._chunks(segments)])

    def _read(self, prefix: Prefix) -> None:
        """In a pass of its own, so that it is the same whatever comes after it."""
        with prefix.lock:
            if not prefix.is_read:
                self._pass(layout([Segment(prefix.ids)], self._device, prefix))

    def _chunks(self, segments: Sequence[Segment]) -> Iterator[list[Segment]]:
        chunk: list[Segment] = []
        tokens = 0
        for one in segments:
            if chunk and tokens + len(one.ids) > self._most:
                yield chunk
                chunk, tokens = [], 0
            chunk.append(one)
            tokens += len(one.ids)
        yield chunk

    def _pass(self, row: Layout) -> torch.Tensor:
        with reading(row):
            hidden = self._network.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[0, row.last]
        return found


def packed_if_same(network: Any, device: torch.device, most: int = CPU_TOKENS) -> Reader:
    """Packed passes, where they give what the network's plain pass gives; else that. Some networks do more than their attention says."""
    import torch

    plain, packed = Padded(network, device, most), Packed(network, device, most)
    before = network.config._attn_implementation
    with torch.inference_mode():
        expected = plain([_probe()])
        most_apart = _SAME.get(str(expected.dtype).removeprefix("torch."), 5e-2) * expected.abs().max()
        try:
            pack(network)
            same = bool((packed([_probe()]) - expected).abs().max() <= most_apart)
        except (ValueError, TypeError, AttributeError, RuntimeError):
            same = False
    if same:
        return packed
    unpack(network, before)
    return plain


def _probe() -> Prompt:
    return Prompt(Prefix(range(1, 9)), (range(9, 20), range(20, 26)), 2)
