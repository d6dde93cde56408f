"""An engine of vLLM, started quietly: what it prints goes to a log of its own, and a start that fails is one sentence."""

from __future__ import annotations

import itertools
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import shorten
from typing import IO, Any

from pydantic import ValidationError

from firstrank.reranker.config import cache_dir
from firstrank.reranker.errors import MissingExtra, ModelError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.scorers.vllm.guard import OWNER, EndsWithOwner
from firstrank.reranker.scorers.vllm.settings import EngineSettings, dtype_of

_CPU_CACHE = 2 << 30  # bytes
_ON_CPU = {
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # of two cores it would keep one for a front end that hardly works
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),  # as in models.memory: the engine is a process of its own
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
}
_LOGS_KEPT = 10
_LONGEST_REASON = 400  # characters; vLLM lists every architecture that it knows
_number = itertools.count()


def start_engine(
    model: Model, settings: EngineSettings, dtype: str | None, extra: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Any, Path]:
    """An AsyncLLM and its log. `extra` are vLLM's arguments, and `environment` its variables, that a way of scoring needs.

    Raises MissingExtra, and ModelError with the engine's own reason where it does not start.
    """
    log = _new_log(model.name)
    with _environment({"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", **environment}), _output_into(log):
        try:
            engine = _started(model, settings, dtype, extra)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "vllm":
                raise MissingExtra("vllm", "vllm", "--backend vllm") from error
            raise ModelError(f"model {model.name!r}: vLLM does not start: {_reason(error, log)} (its log: {log})") from error
    return engine, log


def _started(model: Model, settings: EngineSettings, dtype: str | None, extra: Mapping[str, Any]) -> Any:
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    if not hasattr(SamplingParams, "logprob_token_ids"):
        raise ModelError("it is too old to answer by token id: pip install 'vllm>=0.32'")
    on_cpu = current_platform.is_cpu()
    _check_devices(model, settings, on_cpu)
    chosen = settings.of_vllm()
    if on_cpu:
        os.environ.update(_ON_CPU | os.environ)
        chosen = {"kv_cache_memory_bytes": _CPU_CACHE, "enforce_eager": True} | chosen
    if chosen.get("enforce_eager"):
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # vLLM compiles a helper of its sampler all the same, at the first window
    arguments = AsyncEngineArgs(
        model=model.path,
        dtype=dtype or ("float32" if on_cpu else dtype_of(model.spec.dtype) or "bfloat16"),
        skip_tokenizer_init=True,
        worker_extension_cls=f"{EndsWithOwner.__module__}.{EndsWithOwner.__qualname__}",
        seed=0,
        **{"max_model_len": model.context, **chosen, **extra},
    )
    return AsyncLLM.from_engine_args(arguments)


def _check_devices(model: Model, settings: EngineSettings, on_cpu: bool) -> None:
    import torch

    there = len(os.sched_getaffinity(0)) if on_cpu else torch.cuda.device_count()
    if settings.distributed_executor_backend != "ray" and settings.devices > there:
        kind = "CPU cores" if on_cpu else "GPUs"
        raise ModelError(f"its parallel sizes take {settings.devices} {kind}; this machine has {there}")


def complaint(log: Path) -> str | None:
    """The first error in an engine's log, which is the root of what followed it."""
    said = log.read_text(encoding="utf-8", errors="replace")
    found = [match for match in _RAISED.findall(said) if not match.startswith(_WRAPPERS)]
    return _shortened(found[0]) if found else None


def _reason(error: Exception, log: Path) -> str:
    if isinstance(error, ModelError):
        return str(error)
    if isinstance(error, ValidationError):
        return _shortened("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors()))
    return complaint(log) or _shortened(f"{type(error).__name__}: {error}")


def _shortened(text: str) -> str:
    return shorten(text, _LONGEST_REASON, placeholder=" …")


_RAISED = re.compile(r"^(?:\([^)]*\) )?(?:ERROR [^\]]*\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)
_WRAPPERS = (
    "Exception: WorkerProc initialization failed",
    "RuntimeError: Engine core initialization failed",
    "vllm.v1.engine.exceptions.EngineDeadError",
)


def _new_log(name: str) -> Path:
    folder = cache_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("vllm-*.log"), key=lambda file: file.stat().st_mtime)[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    log = folder / f"vllm-{re.sub(r'[^A-Za-z0-9.-]+', '-', name).strip('-')}-{os.getpid()}-{next(_number)}.log"
    log.touch()
    return log


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Variables for an engine's start, where the user has not set them; vLLM adds its own (LD_PRELOAD …), and all are taken back."""
    before = dict(os.environ)
    os.environ.update(dict(defaults) | before)
    os.environ[OWNER] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _output_into(log: Path) -> Iterator[None]:
    """Sends standard output and error of this process, and of those that it starts, to a file. The engine's keep going there."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    text = log.open("a", encoding="utf-8", buffering=1)  # stays open: vLLM's logger goes on writing to it
    try:
        for descriptor in (1, 2):
            os.dup2(text.fileno(), descriptor)
        with redirect_stdout(text), redirect_stderr(text):
            yield
    finally:
        _log_into(text)
        for descriptor, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)


def _log_into(text: IO[str]) -> None:
    """What vLLM logs from this process follows; handlers that others hung there (pytest's, say) are left alone."""
    for handler in logging.getLogger("vllm").handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(text)
