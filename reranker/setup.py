"""The one value that all callers pass: a model, how it runs, and which windows it ranks. Plain data; pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast, get_type_hints

import yaml

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.catalog import check_revision, find_model
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.runs.files import fingerprint
from firstrank.reranker.scorers import rules
from firstrank.reranker.scorers.backends import (
    HOSTED,
    BackendOptions,
    BackendSettings,
    Oracle,
    backend_of,
    backend_options,
    open_scorer,
    spec_of,
)
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.openai.options import OpenAIOptions
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.strategies.prior import NONE, Prior, sources_of
from firstrank.reranker.strategies.register import check_strategy
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.reranker.strategies.windows import WindowSize
from firstrank.reranker.types import Backend

if TYPE_CHECKING:
    from firstrank.reranker.calibration.calibration import Calibration


@dataclass(frozen=True, slots=True)
class Cascade:
    """A large model, for the windows of which the small one is unsure; see `CascadeScorer`."""

    model: str
    budget: float = 0.3
    """the share of a request's windows that it may see"""
    rule: str = "entropy"
    """how unsure the small model is: entropy, margin, or a learned rule's file"""


class ScheduleSettings(TypedDict, total=False):
    """Every name by which a Schedule can be said; None leaves what the model's YAML says."""

    strategy: str | None
    window: WindowSize | None
    stride: int | None
    passes: int | None
    top_k: int | None
    seed: int | None


class SetupSettings(ScheduleSettings, BackendSettings, total=False):
    """Every name by which a Setup can be said, in Python as on the command line; None leaves a default."""

    backend: str | None
    revision: str | None
    prior: str | Mapping[str, float] | None
    prior_depth: int | None
    fuse: float | None
    cascade: str | None
    defer_budget: float | None
    defer_rule: str | None
    instruction: str | None
    calibration: str | None


@dataclass(frozen=True, slots=True)
class Setup:
    """A model, its backend's options and its schedule: all that it takes to make the same Reranker anywhere."""

    model: str = "default"
    backend: BackendOptions = TransformersOptions()
    schedule: Schedule = Schedule()
    cascade: Cascade | None = None
    revision: str | None = None
    prior: Prior = Prior()
    instruction: str | None = None
    """what is searched for, for requests that do not say it themselves"""
    calibration: str | None = None
    """a file of `firstrank calibrate`, or `none`; by default the model's own, if it has one"""

    @classmethod
    def of(cls, model: str = "default", **settings: Unpack[SetupSettings]) -> Self:
        """A Setup said by names: `Setup.of("default", backend="vllm", dtype="bfloat16", strategy="topdown:k=10")`.

        Raises InputError for a name that does not exist, that the backend does not have, or that has no effect beside the others.
        """
        check_names(settings, SETTINGS)
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        rules.check(given)
        schedule = Schedule(**{name: given.pop(name) for name in ScheduleSettings.__annotations__ if name in given})
        cascade = _cascade(given)
        revision, prior, instruction = given.pop("revision", None), _prior(given), given.pop("instruction", None)
        calibration = given.pop("calibration", None)
        backend = backend_options(given.pop("backend", Backend.transformers), **given)
        return cls(model, backend, schedule, cascade, revision, prior, instruction, calibration)

    @property
    def backend_name(self) -> Backend:
        return backend_of(self.backend)

    @property
    def is_local(self) -> bool:
        """Whether a model's weights are needed on this machine."""
        return not isinstance(self.backend, (Oracle, OpenAIOptions, *HOSTED))

    def open_scorer(self) -> tuple[Scorer, Schedule]:
        """The scorer, and the schedule with what was not said taken from the model. Raises what `open_scorer` raises."""
        if (prior := self._prior_alone()) is not None:
            return self._calibrated(_behind(prior, None), spec_of(self.model, self.backend)), self.completed()
        scorer, spec = open_scorer(self.model, self.backend, revision=self.revision, seed=self.schedule.seed, instruction=self.instruction)
        try:
            if self.cascade is not None:
                scorer = self._deferring(scorer, spec.answer)
            scorer = self._calibrated(_behind(self.prior.completed(spec.own_prior), scorer), spec)
            return scorer, self.schedule.completed(self._own_schedule(spec))
        except BaseException:
            scorer.close()
            raise

    def completed(self) -> Schedule:
        """The schedule with what was not said taken from the model's settings; an oracle has none. Loads no model."""
        return (
            self.schedule
            if isinstance(self.backend, Oracle)
            else self.schedule.completed(self._own_schedule(spec_of(self.model, self.backend)))
        )

    def _own_schedule(self, spec: ModelSpec) -> Schedule:
        """The model's; before a large model, one that reads a passage at a time has the large one's windows."""
        if self.cascade is None or spec.answer != "pointwise":
            return spec.schedule
        large = spec_of(self.cascade.model, self.backend)
        return ModelSpec().schedule if large.answer == "pointwise" else large.schedule

    def check(self, n: int) -> None:
        """Raises InputError for a schedule, or a cascade's options, that cannot work on n candidates. Loads no model."""
        from firstrank.reranker.scorers.cascade.deferral import find_rule
        from firstrank.reranker.scorers.cascade.scorer import check_budget

        if not isinstance(self.backend, (Oracle, *HOSTED)):
            check_revision(self.model, self.revision)
        spec_of(self.model, self.backend).instructed(self.instruction)
        self._prior_alone()
        strategy = self.completed().build()
        if self.schedule.top_k is not None:
            check_strategy(strategy, n, n)
        if self.cascade is not None:
            check_budget(self.cascade.budget)
            find_rule(self.cascade.rule)

    def _prior_alone(self) -> Prior | None:
        """The prior, where the model is to read nothing. Raises InputError for a depth or weight without a prior."""
        own = spec_of(self.model, self.backend).own_prior
        prior = self.prior.completed(own)
        if not prior.sources and (prior.depth is not None or prior.fuse is not None):
            said = [name for name, value in (("prior_depth", prior.depth), ("fuse", prior.fuse)) if value is not None]
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in said)
            raise InputError(f"{', '.join(said)} ({flags}): only with a prior; give --prior, because the model has none of its own")
        return prior if prior.depth == 0 else None

    def facts(self) -> dict[str, str]:
        """What must be the same for a batch to be resumed. Loads no model."""
        models = [self.model] if not isinstance(self.backend, Oracle) else []
        told = {"model": self.model, "backend": str(self.backend_name), "revision": repr(self.revision)}
        if self.instruction is not None:
            told["instruction"] = self.instruction
        told |= _said(self.backend) | _said(self.schedule) | {f"prior {name}": value for name, value in _said(self.prior).items()}
        if self.calibration is not None:
            told["calibration"] = fingerprint(self.calibration)
        if self.cascade is not None:
            told |= {f"cascade {name}": value for name, value in _said(self.cascade).items()}
        if self.cascade is not None:
            models.append(self.cascade.model)
            told["defer_rule"] = fingerprint(self.cascade.rule)
        if isinstance(self.backend, Oracle):
            told["qrels"] = fingerprint(self.backend.source)
        if isinstance(self.backend, HOSTED):
            return told | {f"settings of {name}": repr(spec_of(name, self.backend)) for name in models}
        return told | dict(map(_model_fact, models))

    def chosen_calibration(self, spec: ModelSpec) -> Calibration | None:
        """The one that was asked for, or else the model's own. Whether it holds for the model as it runs here is not looked at."""
        from firstrank.reranker.calibration.calibration import read_calibration

        if self.calibration == NONE:
            return None
        if self.calibration is not None:
            return read_calibration(Path(self.calibration).expanduser())
        return spec.calibration

    def _calibrated(self, scorer: Scorer, spec: ModelSpec) -> Scorer:
        """The scorer with its calibration, if there is one that holds for the model as it runs here.

        Raises ModelError for one of other weights, prompts or arithmetic, InputError where one was asked for and has no effect.
        """
        from firstrank.reranker.scorers.calibrated import CalibratedScorer, check_that_it_holds, why_not

        if (calibration := self.chosen_calibration(spec)) is None:
            return scorer
        if (reason := self._uncalibrated() or why_not(calibration, scorer)) is not None:
            if self.calibration is not None:
                raise InputError(f"--calibration {self.calibration}: {reason}")
            return scorer
        check_that_it_holds(calibration, self.model, spec, scorer)
        return CalibratedScorer(scorer, calibration)

    def _uncalibrated(self) -> str | None:
        """Why no calibration holds, whichever it is."""
        if self.cascade is not None:
            return "does not hold for two models together: leave --cascade out"
        if not isinstance(self.backend, TransformersOptions):
            return f"holds for values that transformers reads, and --backend {self.backend_name} gives others"
        return None

    def _deferring(self, small: Scorer, answer: str) -> Scorer:
        """The two as one; the large model has the small one's backend and options, but its own revision."""
        from firstrank.reranker.scorers.cascade.deferral import find_rule
        from firstrank.reranker.scorers.cascade.scorer import CascadeScorer

        assert self.cascade is not None
        if answer == "permutation":
            raise InputError(
                f"cascade: {self.model!r} writes its ordering as text, so its doubt is unknown; use a model that answers by logits"
            )
        rule = find_rule(self.cascade.rule)
        large, _ = replace(self, model=self.cascade.model, cascade=None, revision=None).open_scorer()
        return CascadeScorer(small, large, budget=self.cascade.budget, rule=rule)


SETTINGS = tuple(get_type_hints(SetupSettings))
"""every name that `Setup.of` takes"""


def read_settings(given: Mapping[str, Any]) -> SetupSettings:
    """Settings as flags, environment and files say them: `base_url`, several; `engine_arg`, several KEY=VALUE."""
    settings = {name: value for name, value in given.items() if name not in ("base_url", "engine_arg")}
    if given.get("base_url"):
        settings["base_urls"] = tuple(given["base_url"])
    if given.get("engine_arg"):
        settings["engine"] = dict(map(_engine_arg, given["engine_arg"]))
    return cast(SetupSettings, settings)


def _engine_arg(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value read as YAML (true, 2, 0.8). Raises InputError for another form."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise InputError(f"--engine-arg {text}: give KEY=VALUE, for example tensor_parallel_size=2")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--engine-arg {text}: the value is not YAML; quote it") from error


def check_names(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises InputError for a name that does not exist, with the one that may have been meant."""
    for name in given:
        if name not in known:
            meant = "".join(f" (did you mean {near!r}?)" for near in get_close_matches(name, known, 1))
            raise InputError(f"there is no setting {name!r}{meant}; there are {', '.join(known)}")


def _cascade(given: dict[str, Any]) -> Cascade | None:
    """Takes a cascade's settings out of those given."""
    model = given.pop("cascade", None)
    own = {name: given.pop(f"defer_{name}") for name in ("budget", "rule") if f"defer_{name}" in given}
    return None if model is None else Cascade(model, **own)


def _prior(given: dict[str, Any]) -> Prior:
    """Takes a prior's settings out of those given."""
    sources = given.pop("prior", None)
    return Prior(None if sources is None else sources_of(sources), given.pop("prior_depth", None), given.pop("fuse", None))


def _behind(prior: Prior, scorer: Scorer | None) -> Scorer:
    """The scorer with a prior before it, if there is one; without a scorer, the prior alone."""
    if scorer is not None and not prior.sources:
        return scorer
    from firstrank.reranker.scorers.prior import PriorScorer, Unread

    return PriorScorer(scorer or Unread(), prior)


def _said(part: BackendOptions | Schedule | Cascade | Prior) -> dict[str, str]:
    return {one.name: repr(getattr(part, one.name)) for one in fields(part) if one.repr and one.name not in _CHANGES_NOTHING}


_CHANGES_NOTHING = ("max_cost",)
"""of what is already there: a batch that reached its ceiling goes on with a higher one"""


def _model_fact(name: str) -> tuple[str, str]:
    """What tells a model from another of its name: its settings, and in a folder all files."""
    settings, folder = find_model(name)
    return (f"settings of {name}", repr(settings)) if folder is None else (f"files of {name}", fingerprint(folder))
