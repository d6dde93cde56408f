"""Evidence -> the probability that a passage is relevant: a logistic regression and, where it measured better, an isotonic map after it.

Evidence is what is known of one passage for one query, whatever stands beside it: `dense:minilm`, `sparse:splade-tiny`, and `model` for the
value that a model which reads a passage at a time gives it. numpy alone is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]
Evidence = Mapping[str, Floats]
"""a name -> a number for each passage"""

MODEL = "model"
"""the evidence that a model gives to a passage that it reads by itself"""
_MOST = 30.0
"""log odds: beyond, float32 has nothing left between a probability and 0 or 1"""
_SHARP = 2.0
"""of the soft maximum: the larger, the more the best one counts alone"""


class Map(BaseModel):
    """From evidence to a probability in (0, 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float = Field(allow_inf_nan=False)
    weights: Mapping[str, float] = Field(min_length=1, description="of each kind of evidence, in log odds")
    steps: tuple[tuple[float, float], ...] = Field(
        default=(), description="log odds and their probability, both rising; linear between. By default the logistic function"
    )

    @model_validator(mode="after")
    def _rising(self) -> Map:
        if not all(np.isfinite(weight) for weight in self.weights.values()):
            raise ValueError("weights: must be finite numbers")
        if any(later[0] <= earlier[0] or later[1] < earlier[1] for earlier, later in pairwise(self.steps)):
            raise ValueError("steps: must rise")
        if any(not 0 < probability < 1 for _, probability in self.steps):
            raise ValueError("steps: a probability is between 0 and 1")
        return self

    def log_odds(self, evidence: Evidence) -> Floats:
        """[passages]: of the logistic regression."""
        columns = np.stack([np.asarray(evidence[name], np.float64) for name in self.weights], -1)
        # a product of matrices would add up in an order that depends on how many passages there are
        found: Floats = (columns * np.array([*self.weights.values()])).sum(-1) + self.intercept
        return found

    def __call__(self, evidence: Evidence) -> Floats:
        """[passages]: probabilities. KeyError for evidence that is not there."""
        odds = np.clip(self.log_odds(evidence), -_MOST, _MOST)
        if not self.steps:
            return np.asarray(1 / (1 + np.exp(-odds)))
        steps = np.array(self.steps)
        found: Floats = np.interp(odds, steps[:, 0], steps[:, 1])
        return found


def strongest(odds: Floats) -> float:
    """The log odds of a query's best candidates: a soft maximum, so that several good ones count for more than one. -30 without any."""
    if not len(odds):
        return -_MOST
    best = float(odds.max())
    return best + float(np.log(np.exp(_SHARP * (odds - best)).sum())) / _SHARP
