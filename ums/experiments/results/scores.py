"""Scores of networks on images they have not seen, and how sure they are.

A score of an arm is the mean over its replicates; beside it stand their standard deviation, which shows
how much another training changes it, and an interval. Of a single network there is a bootstrap interval
over the patients it was tested on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ums.metrics import classification
from ums.metrics.significance import bootstrap_interval

RESAMPLES = 1000
"""Of the test cases, for an interval."""


@dataclass(frozen=True)
class Estimate:
    """A score of each replicate, and an interval for their mean, NaN where there is none.

    Raises:
        ValueError: There is no replicate.
    """

    values: Sequence[float] | np.ndarray
    low: float = math.nan
    high: float = math.nan

    def __post_init__(self) -> None:
        if not len(self.values):
            raise ValueError("an Estimate needs the value of at least one replicate")

    @property
    def mean(self) -> float:
        """The mean over the replicates."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        """The standard deviation over the replicates (R - 1 in the denominator); NaN for one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The unrounded numbers."""
        numbers = {"mean": self.mean, "sd": self.sd, "values": list(self.values)}
        return numbers | {"low": self.low, "high": self.high}


def score_logits(measure: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """A measure of MEASURES of one network's logits (n, K) of cases with labels (n,)."""
    if measure == "AUC":
        return classification.one_vs_rest_auc(labels, logits)
    predicted, K = logits.argmax(axis=1), logits.shape[1]
    if measure == "F-score":
        return classification.f_score(labels, predicted, K, positive=1 if K == 2 else None)
    score = classification.mcc if measure == "MCC" else classification.accuracy
    return score(labels, predicted, K)


def of_one_network(
    measure: str,
    logits: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """A measure of one network's logits (n, K), and its bootstrap interval over other patients (n,)."""
    score, cases = partial(score_logits, measure), (logits, labels)
    interval = bootstrap_interval(score, cases, rng, resamples=RESAMPLES, groups=patients)
    return Estimate([score(*cases)], *interval)
