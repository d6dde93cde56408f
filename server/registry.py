"""The models that are served, by name: loaded in the background, started again when their engine is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

from firstrank.reranker.errors import FirstrankError, ModelError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.models.memory import give_back_freed_memory
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.known_answers import check_known_answers
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.types import Passage, Request
from firstrank.server.admission import Turns
from firstrank.server.errors import Refused
from firstrank.server.facts import facts_of, read_at_most
from firstrank.server.metrics import MeteredScorer, Metrics

T = TypeVar("T")
State = Literal["loading", "ready", "failed"]
Check = Literal["off", "warn", "strict"]
"""what is done of a model that does not find obvious answers"""
Opened = tuple[Scorer, Schedule]
Opener = Callable[[], Opened]
"""loads a model: `Setup.open_scorer`"""
WARM_UP = Request("which is larger?", (Passage("0", "1"), Passage("1", "2")), "warm-up")
ANY = "*"
"""an alias that takes every name"""

_log = logging.getLogger("firstrank.models")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_SLOTS = 8
"""requests that are ranked at a time, at least: their windows take turns"""


class ServedModel:
    """One model. Its `executor` is there while its state is "ready", and lives on the server's own loop."""

    def __init__(
        self,
        name: str,
        opener: Opener,
        metrics: Metrics,
        *,
        slots: int | None,
        check: Check = "off",
        source: str | None = None,
        revision: str | None = None,
    ) -> None:
        self.name, self.state, self.problem = name, "loading", ""
        self.source, self.revision = source, revision
        self.facts: dict[str, Any] = {}
        """what `/info` tells of it, from when it was first loaded"""
        self.executor: Executor | None = None
        self.schedule: Schedule | None = None
        """of the model, from when it was first loaded"""
        self.turns = Turns(slots or 1)
        self._scorer: Scorer | None = None
        self._opener, self._metrics, self._slots, self._check = opener, metrics, slots, check
        metrics.watch_model(
            name,
            lambda: self.turns.waiting,
            lambda: self.turns.running,
            lambda: self.state == "ready",
            lambda: self.turns.pace.seconds or 0.0,
        )

    state: State

    async def load(self) -> None:
        """Opens the model on a thread of its own and ranks once: a first window is slow, and may show that the model cannot rank.

        Raises what that raises, and remembers it.
        """
        self.state, self.problem = "loading", ""
        try:
            self._scorer, self.schedule = scorer, schedule = await _in_daemon_thread(self._opener)
            self.facts = await _in_daemon_thread(lambda: facts_of(self.source, self.revision, scorer, schedule))
            await _warm(scorer, schedule)
            await self._ask_known(scorer)
        except FirstrankError as error:
            self.state, self.problem = "failed", str(error)
            raise
        except Exception as error:
            self.state, self.problem = "failed", f"{type(error).__name__} while loading; the log has more"
            raise
        self.turns = Turns(self._slots or max(_SLOTS, scorer.concurrency))
        self.executor = Executor(MeteredScorer(scorer, self._metrics, self.name, self.turns.pace), seed=schedule.seed)
        _settle()
        self.state = "ready"
        _log.info("model ready", extra={"model": self.name, "slots": self.turns.slots})

    async def _ask_known(self, scorer: Scorer) -> None:
        """Warns of a model that does not find obvious answers; raises ModelError where the check is strict."""
        if self._check == "off":
            return
        findings = await check_known_answers(scorer)
        if not findings.passed and self._check == "strict":
            raise ModelError(findings.complaint(self.name))
        if not findings.passed:
            _log.warning(findings.complaint(self.name), extra={"model": self.name})
        else:
            _log.info("model checked", extra={"model": self.name, "found": str(findings)})

    def read_at_most(self, n: int) -> int:
        """Of n documents, how many the model reads."""
        return n if self._scorer is None else read_at_most(self._scorer, n)

    @property
    def calibrated(self) -> bool:
        """Whether its scores are probabilities."""
        return getattr(self._scorer, "calibration", None) is not None

    async def revive(self) -> None:
        """After the engine was lost: closes what is left and loads again, with growing pauses, until it works."""
        pause = _FIRST_PAUSE
        while True:
            await self.close()
            try:
                return await self.load()
            except Exception as error:
                _log.error("model could not be started again", extra={"model": self.name, "error": _said(error)})
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def close(self) -> None:
        """Frees the model; idempotent."""
        if self.executor is not None:
            self.executor.close()
        if self._scorer is not None:
            with suppress(Exception):
                await _in_daemon_thread(self._scorer.close)
        self.executor = self._scorer = None
        self.state = "loading"


class Registry:
    """All models of a service. The first answers requests that name none."""

    def __init__(self, models: list[ServedModel], aliases: Mapping[str, str]) -> None:
        self.models = {model.name: model for model in models}
        self.aliases = dict(aliases)
        self._first = models[0].name
        self._loaded = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loading = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: all models have been loaded, and one of them can rank."""
        return self._loaded and any(model.state == "ready" for model in self.models.values())

    @property
    def lost(self) -> tuple[str, ...]:
        """The models that cannot rank now."""
        return tuple(name for name, model in self.models.items() if model.state != "ready")

    @property
    def slots(self) -> int:
        return sum(model.turns.slots for model in self.models.values())

    def named(self, name: str | None) -> ServedModel:
        """A model by name or alias, or the first. Raises Refused 404 for a name that is not served."""
        known = self._first if name is None else name if name in self.models else self.aliases.get(name) or self.aliases.get(ANY)
        if known is None:
            names = ", ".join([*self.models, *self.aliases])
            message = f"model {str(name)[:100]!r} is not served; served are {names} (firstrank serve --alias NAME=MODEL adds names)"
            raise Refused(404, message, kind="model_not_found")
        return self.models[known]

    def find(self, name: str | None) -> ServedModel:
        """The same, if it can rank. Raises Refused 503 for one that cannot rank now."""
        model = self.named(name)
        if model.state != "ready":
            reason = f": {model.problem}" if model.problem else ""
            raise Refused(503, f"model {model.name!r} is {model.state}{reason}; /ready says when it can rank", retry_after=5)
        return model

    def start(self, failed: Callable[[Exception], None]) -> None:
        """Loads all models in the background, one after another; `failed` is told of the first that cannot be loaded."""
        self._tasks[""] = asyncio.ensure_future(self._load_all(failed))

    def revive(self, model: ServedModel) -> None:
        """Starts a model again whose engine was lost, once at a time."""
        if (task := self._tasks.get(model.name)) is None or task.done():
            _log.error("engine lost", extra={"model": model.name})
            model.state, model.problem = "loading", "its engine was lost and is being started again"
            self._tasks[model.name] = asyncio.ensure_future(model.revive())

    def replace(self, models: list[ServedModel], aliases: Mapping[str, str]) -> None:
        """From now on these models. One that is here already stays as it is; one that goes ends its requests first."""
        gone = [model for name, model in self.models.items() if name not in {one.name for one in models}]
        fresh = [model for model in models if model.name not in self.models]
        self.models = {one.name: self.models.get(one.name, one) for one in models}
        self.aliases, self._first = dict(aliases), models[0].name
        for model in fresh:
            self._tasks[f"load {model.name}"] = asyncio.ensure_future(self._load_in_turn(model))
        for model in gone:
            self._close(model)

    def _close(self, model: ServedModel) -> None:
        """One that is still being loaded is closed when that has ended, or what was loaded would stay."""
        name = f"close {model.name} {id(model)}"
        task = asyncio.ensure_future(_close_when_idle(model, self._tasks.get(f"load {model.name}")))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _load_in_turn(self, model: ServedModel) -> None:
        """One after another; what has gone before its turn came is not loaded."""
        async with self._loading:
            if self.models.get(model.name) is not model:
                return
            try:
                await model.load()
            except Exception as error:
                _log.error("model could not be loaded", extra={"model": model.name, "error": _said(error)})

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*list(self._tasks.values()), return_exceptions=True)
        for model in self.models.values():
            await model.close()

    async def _load_all(self, failed: Callable[[Exception], None]) -> None:
        for model in self.models.values():
            try:
                await model.load()
            except Exception as error:
                _log.error("model could not be loaded", extra={"model": model.name, "error": _said(error)})
                return failed(error)
        self._loaded = True


async def _close_when_idle(model: ServedModel, loading: asyncio.Task[None] | None) -> None:
    if loading is not None:
        await asyncio.wait([loading])
    while model.turns.running or model.turns.waiting:
        await asyncio.sleep(0.1)
    await model.close()
    _log.info("model closed", extra={"model": model.name})


def _settle() -> None:
    """Spares later garbage collections what has just been loaded: a full one over it would stop the loop for a third of a second.

    What an earlier model left is looked at first, or it would never be freed; its memory goes back to the kernel.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    give_back_freed_memory()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, FirstrankError) else type(error).__name__


async def _warm(scorer: Scorer, schedule: Schedule) -> None:
    executor = Executor(scorer)
    try:
        await executor.rank(WARM_UP, schedule.build())
    finally:
        executor.close()


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """`work()`, on a thread that a stopping process does not wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="firstrank-load", daemon=True).start()
    return await future
