"""Windows scored by a causal language model through transformers, on a CPU or a GPU.

One window is one forward pass: only the last position reaches the head, and there only the rows of the window's labels,
in fp32. With `answer: marks` the places where passages have been read do, and one token's row. In fp32 that pass is
transformers' own, to the bit. In int8 and bf16 on a CPU what a request's prompts begin with is read once, and its keys and
values serve every window. On a CPU a batch is one window, which makes scores the same whatever else is running; threads may be
shared out over lanes, each with a window at a time. On a GPU a batch is a token budget of windows, packed into one row without
padding; one product gives all their label logits, and one copy brings them back. While a batch computes there, the next one is
made and sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import InputError, MachineError, ModelError, ScorerError
from firstrank.reranker.models.arithmetic import Arithmetic, chosen, dtype_of
from firstrank.reranker.models.fp8 import check_installed, quantize_to_fp8
from firstrank.reranker.models.int8 import quantize
from firstrank.reranker.models.layers import plain_norm
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.models.memory import keep_freed_memory
from firstrank.reranker.models.network import hidden_size, load_network
from firstrank.reranker.models.turns import CPU_TURN
from firstrank.reranker.prompt.prompter import EncodedRequest
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.scorers.point_session import PointSession
from firstrank.reranker.scorers.transformers.budget import tokens_that_fit
from firstrank.reranker.scorers.transformers.generation import Generation
from firstrank.reranker.scorers.transformers.head import LabelHead
from firstrank.reranker.scorers.transformers.options import Device, TransformersOptions
from firstrank.reranker.scorers.transformers.pointwise import points, reading_by
from firstrank.reranker.scorers.transformers.reader import CPU_TOKENS, Finish, Packed, Padded, Prompt, Reader, Start, packed_if_same
from firstrank.reranker.scorers.transformers.segments import Prefix
from firstrank.reranker.scorers.transformers.transfer import fetched
from firstrank.reranker.scorers.transformers.varlen import kernel_for
from firstrank.reranker.types import Passage, Request, Scores

if TYPE_CHECKING:
    import torch

_AHEAD = 2
"""batches of a GPU: one computes, one is made ready"""

_EXAMPLE = Request(
    "how do plants make food",
    tuple(
        Passage(str(number), text)
        for number, text in enumerate(
            [
                "Plants make their food by photosynthesis: leaves take in light, water and carbon dioxide, and give off oxygen.",
                "The 1998 World Cup final was played in Saint-Denis on 12 July; France won 3–0 against Brazil.",
                'def area(r):\n    return 3.14159 * r ** 2  # "circle", in m²',
                "Patients with type 2 diabetes (n = 1,204) were given 500 mg of metformin twice a day for 24 weeks.",
            ]
        )
    ),
    "example",
)
"""shows which of a network's channels are large"""


class TransformersScorer:
    """A scorer over a local model. Raises ModelError where the model cannot be loaded or used.

    `network` is a model's weights that are here already (in training, say). They are used as they are, unless they are the scorer's `own`.
    """

    def __init__(
        self, model: Model, options: TransformersOptions = TransformersOptions(), network: Any = None, *, own: bool = False
    ) -> None:
        import torch

        self._model = model
        self.name = model.name
        self._device = torch.device(device_for(options.device))
        self._on_cpu = self._device.type == "cpu"
        threads = _lane_threads(torch.get_num_threads() if options.threads is None else options.threads, options.lanes, self._on_cpu)
        self.reading = "padded"
        """how prompts stand in a pass"""
        self.dtype = _arithmetic(model, options.dtype, self._on_cpu)
        if self.dtype == "fp8":
            check_installed()
        self.network = load_onto(model, self._device, dtype_of(self.dtype)) if network is None else network
        if options.lanes > 1 and (kind := _changing_rotations(self.network)):
            raise ModelError(f"--lanes: a model with {kind} rotary embeddings takes one window at a time; leave the option out")
        self._lanes = options.lanes if self._device.type != "cuda" else _AHEAD
        self._start = self._starter(options, own=own or network is None)
        self._turn = self._taking_turns(options)
        self._batcher: Batcher[Prompt, Scores] = Batcher(
            self._score_batch,
            max_windows=1 if self._on_cpu else 256,
            max_tokens=options.batch_tokens,
            lanes=self._lanes,
            setup=partial(_prepare_thread, threads),
        )

    @property
    def concurrency(self) -> int:
        return 2 * self._lanes if self._on_cpu else 128

    @property
    def device(self) -> str:
        return str(self._device)

    def open(self, request: Request) -> TransformersSession | PointSession:
        if (prompter := self._model.pointwise) is not None:
            encoded = prompter.encode(request)
            return PointSession(encoded, reading_by(self._batcher, encoded, request.owner), self.name)
        return TransformersSession(self._model.prompter.encode(request), self._batcher, request.owner)

    def close(self) -> None:
        self._batcher.close()

    def _taking_turns(self, options: TransformersOptions) -> AbstractContextManager[Any]:
        """What holds a pass: a GPU is given one batch after another, so that the memory of two is never in use at once."""
        if self._device.type == "cuda":
            return threading.Lock()
        return CPU_TURN if self._on_cpu and options.lanes == 1 else nullcontext()

    def _starter(self, options: TransformersOptions, *, own: bool) -> Start:
        """`own` networks may be changed; a network that was given is somebody else's."""
        if self._model.spec.answer == "permutation":
            generation = Generation(self.network, self._model, constrained=options.constrained)
            return lambda windows: partial(list, generation.rank([one.wholes[0] for one in windows], [one.n for one in windows]))
        head = LabelHead(self.network)
        most = CPU_TOKENS if self._on_cpu else options.batch_tokens
        read = self._reader(most) if own and self._device.type != "mps" else Padded(self.network, self._device, most)
        if isinstance(read, Packed):
            read.most = tokens_that_fit(read, self._device, most)
        self.reading = read.name
        if (prompter := self._model.pointwise) is not None:
            return points(read, head, prompter.ids, prompter.value)
        if self._model.spec.answer == "marks":
            return points(lambda windows: plain_norm(read(windows)), head, (self._model.prompter.opening,), itemgetter(0))
        return partial(self._first_tokens, head, read)

    def _reader(self, most: int) -> Reader:
        """Packed passes; on a CPU, for windows in fp32 the plain pass, which is transformers' own to the bit."""
        if self._on_cpu and self.dtype == "float32" and self._model.pointwise is None:
            return Padded(self.network, self._device, most)
        read = packed_if_same(self.network, self._device, most, kernel_for(self.network, self._device))
        head = self.network.get_output_embeddings()
        if self.dtype == "int8":
            quantize(self.network, lambda: read([_example(self._model)]), keep=(head,))
        if self.dtype == "fp8":
            quantize_to_fp8(self.network, self._device, keep=(head,))
        return read

    def _score_batch(self, windows: Sequence[Prompt]) -> list[Scores]:
        """Without memory, a window that is alone is tried once more; several are split by who calls."""
        for tries_left in (1, 0) if len(windows) == 1 else (0,):
            try:
                return self._scored(windows)
            except RuntimeError as error:  # torch.OutOfMemoryError is one; on a CPU there is no class of its own
                if not _no_memory(error):
                    raise
                _give_back(self._device)
                if not tries_left:
                    raise ScorerError(f"{self._device}: no memory for {len(windows)} windows of {windows[0].tokens} tokens") from error
        raise AssertionError("every try returns or raises")

    def _scored(self, windows: Sequence[Prompt]) -> list[Scores]:
        import torch

        with self._turn, torch.inference_mode():
            started = time.perf_counter()
            finish = self._start(windows)
        answers = finish()
        share = (time.perf_counter() - started) / len(windows)
        return [
            Scores(answer.values, window.tokens, answer.generated_tokens, share, self.name, answer.notes, len(windows))
            for window, answer in zip(windows, answers, strict=True)
        ]

    def _first_tokens(self, head: LabelHead, read: Reader, windows: Sequence[Prompt]) -> Finish:
        """The label logits at each prompt's last position: one forward pass for the batch, and one product for as many labels as the
        largest window has."""
        logits = fetched(head(read(windows), self._model.prompter.label_ids(max(window.n for window in windows))))
        return lambda: [Scores(tuple(row[: window.n])) for row, window in zip(logits(), windows, strict=True)]


def _no_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _give_back(device: torch.device) -> None:
    """What torch keeps for later and nothing uses."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()


def _example(model: Model) -> Prompt:
    if (prompter := model.pointwise) is not None:
        point = prompter.encode(_EXAMPLE)
        return Prompt(Prefix(point.header), point.suffixes, len(point.suffixes))
    window = model.prompter.encode(_EXAMPLE)
    return Prompt(Prefix(()), (window.prompt(range(window.max_window)),), window.max_window)


class TransformersSession:
    """One request's prompts."""

    def __init__(self, encoded: EncodedRequest, batcher: Batcher[Any, Scores], client: str) -> None:
        self._encoded, self._batcher, self._client = encoded, batcher, client
        self._prefixes: dict[tuple[int, ...], Prefix] = {}
        self.lengths = encoded.lengths
        self.max_window = encoded.max_window
        self.room = encoded.room
        self.reading = encoded.reading

    async def score(self, indices: tuple[int, ...]) -> Scores:
        whole, marks = self._encoded.asked(indices)
        header = tuple(self._encoded.header(len(indices)))
        prefix = self._prefixes.setdefault(header, Prefix(header))
        prompt = Prompt(prefix, (whole[len(header) :],), len(indices), marks)
        return await self._batcher.score(prompt, len(whole), self, self._client)

    def close(self) -> None:
        """Nothing outlives a session: the executor has cancelled what still waited."""
        self._prefixes.clear()


def device_for(wanted: Device) -> str:
    """What `--device` means here. Raises MachineError for one that is not there."""
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(wanted, False):
        usable = ", ".join(name for name, there in available.items() if there)
        raise MachineError(f"--device {wanted}: torch finds no such device on this machine; it has {usable}")
    return wanted


def _lane_threads(threads: int, lanes: int, on_cpu: bool) -> int:
    if lanes != 1 and not on_cpu:
        raise InputError(f"--lanes {lanes}: for CPUs only; a GPU takes many windows in one batch")
    if threads < 1:
        raise InputError(f"--threads {threads}: give 1 or more")
    if not 1 <= lanes <= threads:
        raise InputError(f"--lanes {lanes}: give 1 to {threads}, the number of threads, which lanes share")
    return threads // lanes


def _changing_rotations(network: Any) -> str | None:
    """The kind of rotary embeddings whose frequencies transformers changes within a forward pass, by its length."""
    for module in network.modules():
        kinds = getattr(module, "rope_type", "")
        for kind in kinds.values() if isinstance(kinds, dict) else [kinds]:
            if kind in ("dynamic", "longrope"):
                return str(kind)
    return None


def _arithmetic(model: Model, asked: str | None, on_cpu: bool) -> Arithmetic:
    """Whoever generates token by token reads its weights once a token, and stays in fp32 on a CPU unless told."""
    if on_cpu and asked in (None, "auto") and model.spec.answer == "permutation":
        asked = "float32"
    return chosen(asked, model.spec.dtype, on_cpu=on_cpu, width=hidden_size(Path(model.base or model.path)))


def load_onto(model: Model, device: torch.device, dtype: torch.dtype) -> Any:
    """A model's network, for reading only. Raises ModelError, and MachineError where it does not fit."""
    import torch

    base = None if model.base is None else Path(model.base)
    try:
        network = load_network(model.name, Path(model.path), dtype, base=base, layers=model.spec.layers, norm=model.spec.norm)
        return network.to(device).eval().requires_grad_(False)
    except torch.OutOfMemoryError as error:
        raise MachineError(f"model {model.name!r}: its weights do not fit into the memory of {device}") from error


def _prepare_thread(threads: int) -> None:
    """OpenMP keeps its number of threads per thread, and a new one takes what any other set last: so it is set on the one that computes."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
