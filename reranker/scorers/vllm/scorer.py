"""Windows scored by vLLM in this process: one window is one request, one prefill, one token, and exact label logits.

Every window goes to the engine the moment its strategy asks for it, so continuous batching fills the device; the prefix that
a query's windows share is computed once. Two modes: `generate` samples one token and reads the logits of the labels' ids,
`pooling` keeps only the head's label rows and samples nothing. A model that generates its ordering runs here too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import EngineLost, ScorerError
from firstrank.reranker.models.engine_folder import engine_folder
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.prompt import labels
from firstrank.reranker.prompt.orderings import parse
from firstrank.reranker.scorers.point_session import PointSession, open_session
from firstrank.reranker.scorers.prompt_session import PromptSession
from firstrank.reranker.scorers.vllm.options import VLLMOptions
from firstrank.reranker.scorers.vllm.settings import EngineSettings, dtype_of, engine_settings, mode_of, network_config
from firstrank.reranker.scorers.vllm.start import complaint, start_engine
from firstrank.reranker.types import Request, Scores


class VLLMScorer:
    """A scorer over an engine of vLLM. Raises MissingExtra, and ModelError where the settings are wrong or the engine does not start."""

    def __init__(self, model: Model, options: VLLMOptions = VLLMOptions()) -> None:
        settings = engine_settings(model, options.engine)
        dtype = dtype_of(options.dtype)
        self._model = model = replace(model.within(settings.max_model_len), path=str(engine_folder(model.spec, Path(model.path))))
        self.name = model.name
        self.mode = mode_of(model, settings, network_config(model))
        self._ask = _Generating(model, options.constrained) if model.spec.answer == "permutation" else _MODES[self.mode](model)
        self.engine, self.log = start_engine(model, settings, dtype, self._ask.arguments(settings), self._ask.environment)
        self._on_cpu = self.engine.vllm_config.device_config.device_type == "cpu"
        self._adapter = _adapter(settings)
        self._ids = (f"window-{number}" for number in itertools.count())

    @property
    def concurrency(self) -> int:
        return 64 if self._on_cpu else 256

    @property
    def alive(self) -> bool:
        """False once the engine is gone: a fresh scorer is needed."""
        return self.engine is not None and not self.engine.errored

    def open(self, request: Request) -> PromptSession | PointSession:
        return open_session(self, self._model, request)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.shutdown()
            self.engine.shutdown = _nothing  # its destructor calls it once more, at the interpreter's end, and would print a trace
            self.engine = None

    async def score(self, prompt: Sequence[int], n: int) -> Scores:
        """The scores of one prompt that shows n passages. Raises EngineLost; cancelling it aborts the window in the engine."""
        from vllm.v1.engine.exceptions import EngineDeadError

        if self.engine is None:
            raise EngineLost(f"model {self.name!r}: its scorer has been closed")
        started = time.perf_counter()
        try:
            answers = [one async for one in self._ask.submit(self.engine, prompt, n, next(self._ids), self._adapter)]
        except EngineDeadError as error:
            reason = complaint(self.log) or "its process was ended from outside"
            raise EngineLost(f"model {self.name!r}: vLLM's engine is gone: {reason} (its log: {self.log})") from error
        except Exception as error:
            raise ScorerError(f"model {self.name!r}: vLLM cannot score a window of {len(prompt)} tokens: {_sentence(error)}") from error
        scores = self._ask.read(answers[-1], n)
        return replace(scores, prompt_tokens=len(prompt), seconds=time.perf_counter() - started, scorer=self.name)


class _Sampling:
    """One token is sampled; what counts are the raw logits of the labels' ids at its place."""

    environment: Mapping[str, str] = {}

    def __init__(self, model: Model) -> None:
        self._labels = model.answer_ids
        self._parameters = cache(self._parameters_of)

    def arguments(self, settings: EngineSettings) -> dict[str, Any]:
        return {"logprobs_mode": "raw_logits", "max_logprobs": 128, "hf_overrides": {"head_dtype": settings.head_dtype or "float32"}}

    def submit(self, engine: Any, prompt: Sequence[int], n: int, name: str, adapter: Any) -> Any:
        return engine.generate(_tokens(prompt), self._parameters(n), name, lora_request=adapter)

    def read(self, answer: Any, n: int) -> Scores:
        """By id: the mapping holds the sampled token too."""
        [completion] = answer.outputs
        [found] = completion.logprobs
        values = tuple(found[index].logprob for index in self._labels(n))
        return Scores(values, generated_tokens=len(completion.token_ids))

    def _parameters_of(self, n: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprob_token_ids=list(self._labels(n)),
        )


class _Pooling:
    """A pooler that is the head's label rows: no sampler, no row of the whole vocabulary, no token."""

    environment: Mapping[str, str] = {}

    def __init__(self, model: Model) -> None:
        self._architecture = network_config(model)["architectures"][0]
        self._count = len(model.answer_ids(1)) if model.pointwise else None
        self._labels = model.tokenizer.convert_ids_to_tokens(list(model.answer_ids(labels.MOST)))

    def arguments(self, settings: EngineSettings) -> dict[str, Any]:
        overrides = {
            "architectures": [self._architecture.replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": self._labels,
            "method": "no_post_processing",
            "head_dtype": settings.head_dtype or "float32",
        }
        return {"runner": "pooling", "convert": "classify", "hf_overrides": overrides}

    def submit(self, engine: Any, prompt: Sequence[int], n: int, name: str, adapter: Any) -> Any:
        from vllm import PoolingParams

        return engine.encode(_tokens(prompt), PoolingParams(task="classify", use_activation=False), name)

    def read(self, answer: Any, n: int) -> Scores:
        return Scores(tuple(answer.outputs.data.float().tolist()[: self._count or n]))


_MODES: dict[str, Callable[[Model], _Sampling | _Pooling]] = {"generate": _Sampling, "pooling": _Pooling}


class _Generating:
    """The whole ordering, token by token: free, or held to exactly one complete ordering."""

    def __init__(self, model: Model, constrained: bool) -> None:
        self._prompter, self._tokenizer, self._constrained = model.prompter, model.tokenizer, constrained
        self.environment = {"VLLM_USE_V2_MODEL_RUNNER": "0"} if constrained else {}  # the second one takes processors of another form
        self._parameters = cache(self._parameters_of)

    def arguments(self, settings: EngineSettings) -> dict[str, Any]:
        processors = ["firstrank.reranker.scorers.vllm.ordering:OrderingProcessor"] if self._constrained else []
        return {"hf_overrides": {"head_dtype": settings.head_dtype or "model"}, "logits_processors": processors}

    def submit(self, engine: Any, prompt: Sequence[int], n: int, name: str, adapter: Any) -> Any:
        return engine.generate(_tokens(prompt), self._parameters(n), name, lora_request=adapter)

    def read(self, answer: Any, n: int) -> Scores:
        [completion] = answer.outputs
        text = self._prompter.template.answer + self._tokenizer.decode(list(completion.token_ids), skip_special_tokens=True)
        parsed = parse(text, self._prompter.identifiers[:n])
        notes = () if parsed.faults.well_formed else (str(parsed.faults),)
        return Scores(parsed.values, generated_tokens=len(completion.token_ids), notes=notes)

    def _parameters_of(self, n: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from firstrank.reranker.scorers.vllm.ordering import ARGUMENT

        ordering = self._prompter.ordering.upto(n)
        end = self._tokenizer.eos_token_id
        return SamplingParams(
            max_tokens=ordering.longest,
            temperature=0.0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            stop_token_ids=[] if end is None else [end],
            extra_args={ARGUMENT: {"first": ordering.first, "later": ordering.later, "end": end}} if self._constrained else None,
        )


def _tokens(prompt: Sequence[int]) -> Any:
    from vllm.inputs import tokens_input

    return tokens_input(list(prompt))


def _adapter(settings: EngineSettings) -> Any:
    if settings.lora is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(Path(settings.lora).name, 1, settings.lora)


def _nothing() -> None:
    """In place of what is done already."""


def _sentence(error: Exception) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split()) or type(cause).__name__
