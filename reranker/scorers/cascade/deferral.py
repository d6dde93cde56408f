"""How unsure a model is of a window, from its label distribution alone (arXiv 2404.10136). Pure functions of the label logits.

A rule is a number for each window: the higher, the sooner the window goes to a larger model. Numbers of one rule are
compared among themselves only, so their scale is free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import log_softmax

from firstrank.reranker.config import explained
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import whole_file

Rule = Callable[[Sequence[float]], float]
"""a window's label logits -> how unsure the model is"""

Stake = Callable[[Sequence[int]], float]
"""the first-stage places of a window's candidates, from 0 -> what hangs on their order"""

Floats = NDArray[np.float64]

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
FEATURES = len(QUANTILES) + 2
DEPTH = 10


def entropy(values: Sequence[float]) -> float:
    """The entropy of the label distribution, as a share of what a uniform one has: 0 (sure) to 1."""
    if len(values) < 2:
        return 0.0
    logs = log_softmax(np.asarray(values, np.float64))
    return float(-(np.exp(logs) * logs).sum() / math.log(len(values)))


def margin(values: Sequence[float]) -> float:
    """One less the gap between the two likeliest labels' probabilities: 0 (sure) to 1."""
    if len(values) < 2:
        return 0.0
    second, first = np.sort(np.exp(log_softmax(np.asarray(values, np.float64))))[-2:]
    return float(1.0 - (first - second))


def discounts(places: Sequence[int]) -> float:
    """The mean of DCG's discounts at these places."""
    return float(np.mean(1.0 / np.log2(np.asarray(places, np.float64) + 2.0)))


class LearnedRule(BaseModel):
    """The loss that a small model's order is expected to have, linear in what its label distribution looks like.

    The loss is how much DCG@10 the window's order lacks; the features (see `features`) are standardised. Made by `fit`,
    kept in a JSON file by `save`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["learned"] = "learned"
    windows: int = Field(ge=1, description="that it was fitted on")
    intercept: float
    weights: tuple[float, ...] = Field(min_length=FEATURES, max_length=FEATURES)
    means: tuple[float, ...] = Field(min_length=FEATURES, max_length=FEATURES)
    deviations: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=FEATURES, max_length=FEATURES)

    def __call__(self, values: Sequence[float]) -> float:
        standardised = (features(values) - np.array(self.means)) / np.array(self.deviations)
        return max(0.0, float(self.intercept + standardised @ np.array(self.weights)))

    def save(self, path: Path) -> None:
        """Writes the rule whole or not at all; `read_rule` reads it."""
        with whole_file(path) as file:
            file.write(self.model_dump_json(indent=1) + "\n")


def fit(windows: Iterable[tuple[Sequence[float], Sequence[float]]], ridge: float = 1.0) -> LearnedRule:
    """A rule from labelled windows, each (label logits, grades of the same candidates), by ridge regression.

    Raises InputError where no window has two candidates.
    """
    labelled = [(features(values), loss(values, grades)) for values, grades in windows if len(values) > 1]
    if not labelled:
        raise InputError("the learned rule needs windows of two or more judged candidates, and there is none")
    table = np.array([row for row, _ in labelled])
    target = np.array([lost for _, lost in labelled])
    means, deviations = table.mean(axis=0), table.std(axis=0)
    deviations[deviations == 0] = 1.0
    standardised = (table - means) / deviations
    intercept = target.mean()
    penalty = ridge * np.eye(table.shape[1])
    weights = np.linalg.solve(standardised.T @ standardised + penalty, standardised.T @ (target - intercept))
    return LearnedRule(windows=len(labelled), intercept=intercept, weights=tuple(weights), means=tuple(means), deviations=tuple(deviations))


def features(values: Sequence[float]) -> Floats:
    """What a learned rule sees of a window, whatever its size."""
    logs = log_softmax(np.asarray(values, np.float64))
    return np.array([*np.quantile(logs, QUANTILES), entropy(values), margin(values)])


def loss(values: Sequence[float], grades: Sequence[float]) -> float:
    """The DCG@10 that ordering by `values` loses against ordering by `grades`, both ties in the order given."""
    gains = np.asarray(grades, np.float64)
    discounts = 1.0 / np.log2(np.arange(2, min(len(gains), DEPTH) + 2))
    asked = np.argsort(-np.asarray(values, np.float64), kind="stable")[:DEPTH]
    best = np.sort(gains)[::-1][:DEPTH]
    return float((best - gains[asked]) @ discounts)


RULES: dict[str, Rule] = {"entropy": entropy, "margin": margin}


def find_rule(name: str) -> Rule:
    """`entropy`, `margin`, or the path of a learned rule's JSON file. Raises InputError where it is none of them."""
    return RULES[name] if name in RULES else read_rule(Path(name))


def read_rule(path: Path) -> LearnedRule:
    """A rule that `LearnedRule.save` wrote. Raises InputError where it is none."""
    try:
        return LearnedRule.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"deferral rule {str(path)!r}: use {', '.join(RULES)}, or the JSON file of a learned rule ({reason})") from error
    except ValidationError as error:
        raise InputError(
            f"{path}: not a learned rule: {explained(error)}; fit it again with `firstrank bench cascade --save-rule`"
        ) from error
