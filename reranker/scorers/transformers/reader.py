"""A network as a function: prompts -> the hidden state at the last token of each of their segments.

`padded` is the plain pass of transformers, to the bit. `Packed` reads what a request's prompts share once and pads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstrank.reranker.scorers.transformers.packed import Layout, Prefix, Segment, layout, pack, reading, unpack

if TYPE_CHECKING:
    import torch

_CHUNK = 2048
"""tokens of one pass on a CPU: what a layer makes of more leaves the caches"""
_SAME = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""of the largest value: by more than this a packed pass would not be the plain one"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments behind what they share; `n` passages stand in them."""

    prefix: Prefix
    segments: tuple[Sequence[int], ...]
    n: int

    @property
    def whole(self) -> list[int]:
        """The one prompt there is."""
        [own] = self.segments
        return [*self.prefix.ids, *own]

    @property
    def tokens(self) -> int:
        return sum(len(self.prefix.ids) + len(one) for one in self.segments)


Reader = Callable[[Sequence[Prompt]], "torch.Tensor"]
"""prompts -> [segments of all, hidden size]"""


def padded(network: Any, device: torch.device) -> Reader:
    """One pass of all prompts, padded on the right, where causal attention cannot see the padding."""
    import torch

    def read(prompts: Sequence[Prompt]) -> torch.Tensor:
        whole = [[*prompt.prefix.ids, *own] for prompt in prompts for own in prompt.segments]
        lengths = torch.tensor(list(map(len, whole)), device=device)
        ids = torch.zeros(len(whole), int(lengths.max()), dtype=torch.long)
        for row, one in enumerate(whole):
            ids[row, : len(one)] = torch.tensor(one)
        hidden = network.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[torch.arange(len(whole), device=device), lengths - 1]
        return found

    return read


class Packed:
    """Packed passes over a network that `pack` has changed."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network, device

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        import torch

        for prompt in prompts:
            self._read(prompt.prefix)
        segments = [Segment(own, prompt.prefix) for prompt in prompts for own in prompt.segments]
        return torch.cat([self._pass(layout(chunk, self._device)) for chunk in _chunks(segments)])

    def _read(self, prefix: Prefix) -> None:
        """In a pass of its own, so that it is the same whatever comes after it."""
        with prefix.lock:
            if not prefix.is_read:
                self._pass(layout([Segment(prefix.ids)], self._device, prefix))

    def _pass(self, row: Layout) -> torch.Tensor:
        with reading(row):
            hidden = self._network.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[0, row.last]
        return found


def packed_if_same(network: Any, device: torch.device) -> Reader:
    """Packed passes, where they give what the network's plain pass gives; else that. Some networks do more than their attention says."""
    import torch

    plain = padded(network, device)
    probe = [Prompt(Prefix(range(1, 9)), (range(9, 20), range(20, 26)), 2)]
    before = network.config._attn_implementation
    with torch.inference_mode():
        expected = plain(probe)
        try:
            pack(network)
            found = Packed(network, device)
            most = _SAME.get(str(expected.dtype).removeprefix("torch."), 5e-2) * expected.abs().max()
            same = bool((found(probe) - expected).abs().max() <= most)
        except (ValueError, TypeError, AttributeError, RuntimeError):
            same = False
    if same:
        return found
    unpack(network, before)
    return plain


def _chunks(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    chunk: list[Segment] = []
    tokens = 0
    for one in segments:
        if chunk and tokens + len(one.ids) > _CHUNK:
            yield chunk
            chunk, tokens = [], 0
        chunk.append(one)
        tokens += len(one.ids)
    yield chunk
