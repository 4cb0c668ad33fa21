"""An operating point: a threshold set on one set of labelled cases, and what it does on another.

Cases whose score is at least the threshold are called positive. Labels are 0 and 1, (N,). To judge what
a classifier would do at another hospital, the threshold is set on the training hospital's validation
cases, and the other hospital's labels serve only to score it. Labels and scores of a wrong shape or
range raise a ValueError.
"""

from typing import NamedTuple

import numpy as np

from ums.metrics.classification import checked_scores


class OperatingPoint(NamedTuple):
    """Shares of positives and of negatives that a threshold gets right, and of all called positive.

    Sensitivity or specificity is NaN where there is no such case.
    """

    threshold: float
    sensitivity: float
    specificity: float
    called_positive: float


def threshold_for(
    labels: np.ndarray, scores: np.ndarray, sensitivity: float | None = None
) -> float:
    """The threshold, one of the scores, that gives a sensitivity or that balances both errors.

    Args:
        labels: (N,) of 0 and 1, both of them.
        scores: (N,), higher for label 1.
        sensitivity: The highest threshold is taken that finds at least this share of the positives,
            above 0 and at most 1. Without it, the threshold with the highest sensitivity +
            specificity - 1 (Youden 1950), the higher of equally good ones.
    """
    positive, scores = checked_scores(labels, scores)
    if positive.all() or not positive.any():
        raise ValueError("a threshold needs cases of both classes, got one class only")
    rising = np.unique(scores)
    found = _shares_from(scores[positive], rising)  # sensitivity of each threshold
    if sensitivity is None:
        youden = found - _shares_from(scores[~positive], rising)
        best = youden >= youden.max() - 1e-12
        return float(rising[best][-1])
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must be above 0 and at most 1, got {sensitivity}")
    return float(rising[found >= sensitivity][-1])


def at_threshold(labels: np.ndarray, scores: np.ndarray, threshold: float) -> OperatingPoint:
    """Sensitivity and specificity of cases (N,) at a threshold that was set elsewhere."""
    positive, scores = checked_scores(labels, scores)
    called = scores >= threshold
    return OperatingPoint(
        float(threshold),
        float(called[positive].mean()) if positive.any() else float("nan"),
        float(1 - called[~positive].mean()) if not positive.all() else float("nan"),
        float(called.mean()),
    )


def _shares_from(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The share of the scores at or above each threshold: (T,)."""
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - below) / len(scores)
