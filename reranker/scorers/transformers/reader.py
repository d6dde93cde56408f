"""A network as a function: prompts -> the hidden states at the last token of each of their segments, or at their marks.

`Padded` is the plain pass of transformers, to the bit for a prompt alone. `Packed` reads what a request's prompts share once, and pads
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any, Protocol

from firstrank.reranker.scorers.transformers.packed import Layout, layout, pack, prefix_layout, reading, unpack
from firstrank.reranker.scorers.transformers.segments import Prefix, Segment
from firstrank.reranker.scorers.transformers.transfer import sent
from firstrank.reranker.scorers.transformers.varlen import Kernel
from firstrank.reranker.types import Scores

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

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
    marks: tuple[int, ...] = ()
    """of a prompt of one segment: the places that are read in place of its last"""

    @property
    def wholes(self) -> list[list[int]]:
        return [[*self.prefix.ids, *own] for own in self.segments]

    @property
    def tokens(self) -> int:
        return sum(len(self.prefix.ids) + len(one) for one in self.segments)


class Reader(Protocol):
    """Prompts -> [places read in all, hidden size]: a segment's last token, or the marks."""

    @property
    def name(self) -> str:
        """How prompts stand in a pass."""

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor: ...


Finish = Callable[[], list[Scores]]
"""waits for a batch's scores"""
Start = Callable[[Sequence[Prompt]], Finish]
"""begins a batch"""


class Padded:
    """Passes of at most `most` tokens, padded on the right, where causal attention cannot see the padding."""

    name = "padded"

    def __init__(self, network: Any, device: torch.device, most: int) -> None:
        self._network, self._device, self._most = network, device, most

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        import torch

        wholes = [Segment(whole, None, prompt.marks) for prompt in prompts for whole in prompt.wholes]
        found: list[Any] = [None] * len(wholes)
        for batch in self._batches(wholes):
            for place, hidden in zip(batch, self._pass([wholes[i] for i in batch]), strict=True):
                found[place] = hidden
        return torch.cat(found)

    def _batches(self, prompts: Sequence[Segment]) -> Iterator[list[int]]:
        """Places of prompts, the longest first, so many at once as the budget holds."""
        waiting = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
        while waiting:
            count = max(1, self._most // len(prompts[waiting[0]].ids))
            yield waiting[:count]
            waiting = waiting[count:]

    def _pass(self, prompts: Sequence[Segment]) -> Sequence[torch.Tensor]:
        """What is read of each."""
        import torch

        ids = torch.zeros(len(prompts), max(len(one.ids) for one in prompts), dtype=torch.long)
        for row, one in enumerate(prompts):
            ids[row, : len(one.ids)] = torch.tensor(one.ids)
        hidden = self._network.base_model(input_ids=ids.to(self._device), use_cache=False).last_hidden_state
        places = [one.places for one in prompts]
        rows, columns = sent(self._device, [row for row, of in enumerate(places) for _ in of], [place for of in places for place in of])
        found: Sequence[torch.Tensor] = hidden[rows, columns].split(list(map(len, places)))
        return found


class Packed:
    """Packed passes over a network that `pack` has changed.

    On a GPU, where a pass more costs more than it would save, a prompt of one segment is read whole, and all prefixes together. On a CPU
    each prefix has a pass of its own, so that it is the same whatever stands beside it.
    """

    def __init__(self, network: Any, device: torch.device, most: int, kernel: Kernel | None = None) -> None:
        self._network, self._device, self.most, self._kernel = network, device, most, kernel
        self._few = kernel is not None or device.type != "cpu"

    @property
    def name(self) -> str:
        return f"packed, {self._kernel.__name__}" if self._kernel else "packed"

    def __call__(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        import torch

        segments = [segment for prompt in prompts for segment in self._segments(prompt)]
        self._read({id(one.before): one.before for one in segments if one.before}.values())
        return torch.cat(list(self._passes(segments)))

    def _segments(self, prompt: Prompt) -> list[Segment]:
        if self._few and len(prompt.segments) == 1:
            return [Segment(whole, None, prompt.marks) for whole in prompt.wholes]
        return [Segment(own, prompt.prefix, prompt.marks) for own in prompt.segments]

    def _read(self, prefixes: Collection[Prefix]) -> None:
        with ExitStack() as held:
            for one in sorted(prefixes, key=id):
                held.enter_context(one.lock)
            unread = [one for one in prefixes if not one.is_read]
            for together in [unread] if self._few and unread else [[one] for one in unread]:
                try:
                    self._pass(prefix_layout(together, self._device, self._kernel))
                except BaseException:
                    for one in together:
                        one.states.clear()  # of the layers that were computed: half a prefix is none
                    raise

    def _passes(self, segments: Sequence[Segment]) -> Iterator[torch.Tensor]:
        """Of so many tokens as the budget holds. What is too much for the device's memory halves it."""
        import torch

        while segments:
            chunk = self._chunk(segments)
            try:
                found = self._pass(layout(chunk, self._device, self._kernel))
            except torch.OutOfMemoryError:
                if len(chunk) == 1:
                    raise
                found = None
            if found is None:
                self.most = sum(len(one.ids) for one in chunk) // 2
                torch.cuda.empty_cache()
                _log.warning("%s: out of memory; passes have %d tokens at most from now on", self._device, self.most)
                continue
            yield found
            segments = segments[len(chunk) :]

    def _chunk(self, segments: Sequence[Segment]) -> Sequence[Segment]:
        """The first of them, one at least."""
        tokens = accumulate(len(one.ids) for one in segments)
        return segments[: max(1, sum(1 for _ in takewhile(lambda total: total <= self.most, tokens)))]

    def _pass(self, row: Layout) -> torch.Tensor:
        with reading(row):
            hidden = self._network.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[0].index_select(0, row.read)
        return found


def packed_if_same(network: Any, device: torch.device, most: int = CPU_TOKENS, kernel: Kernel | None = None) -> Reader:
    """Packed passes, where they give what the network's plain pass gives; else that. Some networks do more than their attention says."""
    import torch

    plain, packed = Padded(network, device, most), Packed(network, device, most, kernel)
    before = network.config._attn_implementation
    with torch.inference_mode():
        expected = plain(_probes())
        most_apart = _SAME.get(str(expected.dtype).removeprefix("torch."), 5e-2) * expected.abs().max()
        try:
            pack(network)
            same = bool((packed(_probes()) - expected).abs().max() <= most_apart)
        except torch.OutOfMemoryError:
            raise
        except (ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
            _log.debug("%s: a packed pass failed: %s", type(network).__name__, error)
            same = False
    if same:
        return packed
    _log.warning("%s: its attention cannot be packed; prompts are padded, which is slower", type(network).__name__)
    unpack(network, before)
    return plain


def _probes() -> list[Prompt]:
    return [Prompt(Prefix(range(1, 9)), (range(9, 20), range(20, 26)), 2), Prompt(Prefix(range(3, 7)), (range(7, 30),), 1)]
