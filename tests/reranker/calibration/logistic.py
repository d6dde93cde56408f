"""A calibration that is plain to see: the logistic function of what the model says."""

from __future__ import annotations

import math

from firstrank.reranker.calibration.calibration import Calibration, Holds
from firstrank.reranker.calibration.maps import Map

LOGISTIC = Calibration(
    holds=Holds(weights="w", template="t", arithmetic=("float32",)),
    read=Map(intercept=0, weights={"model": 1}),
    unread=None,
    nothing=Map(intercept=0, weights={"strongest": -1}),
    cut=0.5,
)


def sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
