"""Scores of networks on images they have not seen, and how sure they are.

A task is trained k times, once per fold. Its score is the mean of the k networks' scores; beside it
stand their standard deviation, which shows how much another training set changes it, and a bootstrap
interval, which shows how much other test cases would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from ums.experiments.names import CLASSIFICATION, LOGITS, SEGMENTATION
from ums.metrics import classification
from ums.metrics.significance import bootstrap_interval, mcnemar_exact, paired_permutation

RESAMPLES = 1000
"""Of the test cases, for an interval."""


@dataclass(frozen=True)
class Estimate:
    """A score of each fold, and an interval for their mean, NaN where there is none.

    Raises:
        ValueError: There is no fold.
    """

    folds: Sequence[float] | np.ndarray
    low: float = math.nan
    high: float = math.nan

    def __post_init__(self) -> None:
        if not len(self.folds):
            raise ValueError("an Estimate needs the value of at least one fold")

    @property
    def mean(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.folds))

    @property
    def sd(self) -> float:
        """The standard deviation over the folds (k - 1 in the denominator); NaN for one."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The unrounded numbers."""
        numbers = {"mean": self.mean, "sd": self.sd, "folds": list(self.folds)}
        return numbers | {"low": self.low, "high": self.high}


@dataclass(eq=False)
class CaseScores:
    """Scores of the k networks of a task on n cases, fold by fold.

    Attributes:
        patients: (n,).
        labels: (n,) 0 .. K - 1, for a classification.
        values: Measure -> (k, n), or the logits (k, n, K); NaN where a fold's network was not tested.
    """

    kind: str
    patients: np.ndarray
    labels: np.ndarray | None
    values: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def clustered(self) -> bool:
        """Whether a patient has several cases, which are then not independent."""
        return len(np.unique(self.patients)) < len(self.patients)

    def add(self, fold: int, k: int, cases: np.ndarray, scores: dict[str, np.ndarray]) -> None:
        """Add one fold's scores on some of the cases."""
        for name, values in scores.items():
            if name not in self.values:
                self.values[name] = np.full((k, len(self.patients), *values.shape[1:]), np.nan)
            self.values[name][fold, cases] = values

    def estimate(self, measure: str, rng: np.random.Generator) -> Estimate:
        """Each fold's value of a measure, and the interval of their mean over other cases."""
        name = measure if self.kind == SEGMENTATION else LOGITS
        values = self.values[name].swapaxes(0, 1)  # (n, k) or (n, k, K)
        labels = np.zeros(len(values)) if self.labels is None else self.labels

        def of_folds(values: np.ndarray, labels: np.ndarray) -> list[float]:
            return [self._score(measure, v, labels) for v in values.swapaxes(0, 1)]

        return estimated(of_folds, (values, labels), self.patients, rng)

    def _score(self, measure: str, values: np.ndarray, labels: np.ndarray) -> float:
        seen = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not seen.any():
            return np.nan
        values, labels = values[seen], labels[seen]
        if self.kind == SEGMENTATION:
            return float(values.mean())
        if measure == "AUC":
            return classification.one_vs_rest_auc(labels, values)
        predicted, K = values.argmax(axis=1), values.shape[1]
        if measure == "F-score":
            return classification.f_score(labels, predicted, K, positive=1 if K == 2 else None)
        score = classification.mcc if measure == "MCC" else classification.accuracy
        return score(labels, predicted, K)

    def probabilities(self) -> np.ndarray:
        """Each case's mean probability (n, K) over the folds' networks that were tested on it."""
        return np.asarray(np.nanmean(softmax(self.values[LOGITS], axis=2), axis=0))

    def right(self) -> np.ndarray:
        """Whether the folds' networks together, by mean probability, are right about each case, (n,)."""
        return np.asarray(self.probabilities().argmax(axis=1) == self.labels)

    def by_case(self, measure: str) -> np.ndarray:
        """A segmentation's score of each case, the mean over the folds tested on it, (n,)."""
        return np.asarray(np.nanmean(self.values[measure], axis=0))


def single_network(patients: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> CaseScores:
    """One network's logits (n, K) of n cases, with their patients (n,) and labels (n,)."""
    scores = CaseScores(CLASSIFICATION, patients, labels)
    scores.add(0, 1, np.arange(len(labels)), {LOGITS: logits})
    return scores


def estimated(
    of_folds: Callable[..., Sequence[float] | np.ndarray],
    cases: tuple[np.ndarray, ...],
    patients: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """Each fold's score, and the 95 % bootstrap interval of their mean over other patients.

    ``of_folds(*cases)`` returns the scores (k,) of cases (n, ...), NaN where a fold has none.
    """

    def mean(*drawn: np.ndarray) -> float:
        scores = np.asarray(of_folds(*drawn))
        known = scores[np.isfinite(scores)]
        return float(known.mean()) if len(known) else math.nan

    interval = bootstrap_interval(mean, cases, rng, resamples=RESAMPLES, groups=patients)
    return Estimate([float(score) for score in of_folds(*cases)], *interval)


class Difference(NamedTuple):
    """Whether two arms, a and b, differ on the same cases; see :func:`compare_cases`.

    The statistic is a less b, summed over the cases. For a classification, ``only_a`` and ``only_b`` count
    the cases that only one of them got right.
    """

    p_value: float
    statistic: float
    only_a: int | None = None
    only_b: int | None = None


def compare_cases(
    a: CaseScores, b: CaseScores, measure: str, rng: np.random.Generator
) -> Difference:
    """Test two arms on the cases of one task; the p-value is not corrected for others.

    For a classification, McNemar's exact test is the sign-flip test on the differences of right answers;
    for a segmentation, the sign-flip test is on the differences of the IoU by case. Where a patient has
    several cases, which are not independent, the sign of the patient's sum is flipped in both.
    """
    only: list[int] = []
    if a.kind == SEGMENTATION:
        differences = a.by_case(measure) - b.by_case(measure)
    else:
        differences = a.right().astype(float) - b.right()
        *only, p = mcnemar_exact(a.right(), b.right())
        if not a.clustered:
            return Difference(p, float(differences.sum()), *only)
    p = sign_flips(differences, a.patients, rng)
    return Difference(p, float(differences.sum()), *only)


def sign_flips(differences: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> float:
    """The sign-flip test's p-value of differences (n,); those of a patient are flipped together."""
    _, patient = np.unique(patients, return_inverse=True)
    return paired_permutation(np.bincount(patient, differences), rng)
