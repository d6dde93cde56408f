"""A model's calibration: which maps make probabilities of its evidence, what they were fitted on, and for which model they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firstrank.reranker.calibration.maps import MODEL, Evidence, Floats, Map, strongest
from firstrank.reranker.calibration.quality import Bin
from firstrank.reranker.config import explained, read_yaml
from firstrank.reranker.errors import InputError, ModelError

NOTHING = "strongest"
"""the evidence on which "nothing is relevant" is judged: the log odds of the best candidates together"""


class Set(BaseModel):
    """What a calibration was fitted on, and how well it holds there, by cross-validation over queries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    relevant_from: int = Field(description="the grade from which a passage counts as relevant")
    queries: int
    passages: int
    relevant: float = Field(description="the share of the passages that are")
    ece: float
    brier: float
    bins: tuple[Bin, ...] = Field(
        default=(), description="the reliability diagram: candidates' share, mean probability, and how many came true"
    )


class Holds(BaseModel):
    """For which model a calibration holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str = Field(description="a digest of the weights, or of what they are made from")
    template: str = Field(description="a digest of the prompt, and of how the answer is read")
    arithmetic: tuple[str, ...] = Field(min_length=1, description="float32, bfloat16 …")

    def check(self, name: str, *, weights: str, template: str, arithmetic: str | None) -> None:
        """Raises ModelError where the calibration is of another model. An arithmetic of None is not known, and not asked."""
        remedy = "fit it again (firstrank calibrate), or take the calibration out"
        for what, mine, its in (("weights", self.weights, weights), ("a prompt", self.template, template)):
            if mine != its:
                other = "other weights" if what == "weights" else "another prompt"
                raise ModelError(f"model {name!r}: its calibration was fitted with {other} ({mine}, and here {its}): {remedy}")
        if arithmetic is not None and arithmetic not in self.arithmetic:
            fitted = ", ".join(self.arithmetic)
            raise ModelError(f"model {name!r}: its calibration holds in {fitted}, and this runs in {arithmetic}: take --dtype, or {remedy}")


class Opinion(NamedTuple):
    """What a calibration says of a request."""

    probabilities: Floats
    """[passages]: that each is relevant"""
    nothing_relevant: float
    """the probability that none is"""


class Calibration(BaseModel):
    """Probabilities of relevance for one model: `read` is for passages that it reads, `unread` for those that a prior alone judges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holds: Holds
    read: Map | None = None
    unread: Map | None = None
    nothing: Map = Field(description="from the best candidates' log odds to the probability that no candidate is relevant")
    cut: float = Field(ge=0, le=1, description="a probability that in every set 95% of the relevant passages among the best 10 reach")
    fitted_on: tuple[Set, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.read is None and self.unread is None:
            raise ValueError("read, unread: give one of them at least")
        return self

    @property
    def needs(self) -> frozenset[str]:
        """The evidence that it takes of every passage, beside the model's own reading."""
        maps = [one for one in (self.read, self.unread) if one is not None]
        return frozenset(name for one in maps for name in one.weights) - {MODEL}

    def judge(self, evidence: Evidence, readings: Mapping[int, float], n: int) -> Opinion | None:
        """What is to be thought of n passages; `readings` has the model's values of those that it has read.

        None where a passage was not read, and nothing else is known of it.
        """
        odds, found = np.empty(n), np.empty(n)
        was_read = np.isin(np.arange(n), list(readings)) & (self.read is not None)
        values = np.array([readings.get(i, 0.0) for i in range(n)])
        for chosen, places in ((self.read, was_read), (self.unread, ~was_read)):
            if not places.any():
                continue
            if chosen is None:
                return None
            here = {name: column[places] for name, column in evidence.items()} | {MODEL: values[places]}
            odds[places], found[places] = chosen.log_odds(here), chosen(here)
        return Opinion(found, float(self.nothing({NOTHING: np.array([strongest(odds)])})[0]))

    def write(self, path: Path) -> None:
        """As YAML, whole or not at all."""
        from firstrank.reranker.runs.files import whole_file

        with whole_file(path) as file:
            yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), file, sort_keys=False, width=120)


def read_calibration(path: Path) -> Calibration:
    """Raises InputError for a file that is not there, or is no calibration."""
    if not path.is_file():
        raise InputError(f"calibration {path}: there is no such file")
    return parse_calibration(read_yaml(path), str(path))


def parse_calibration(fields: Mapping[str, Any], where: str) -> Calibration:
    """Raises InputError that names the field."""
    try:
        return Calibration.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{where}: {explained(error)}") from error
