"""How much a measure of trained networks depends on single patients: the jackknife, by weighted measures.

The mean IoU is a mean over cases; MCC and AUC are not. Leaving out one patient at a time makes either a
mean over patients, to first order: of G patients, the pseudo-value of patient g is
``G m - (G - 1) m_without_g`` (Tukey 1958; Miller 1974, Biometrika 61), whose variance over patients,
divided by G, estimates the variance of the measure m over samples of patients. For the AUC this is close
to DeLong's (1988), and for the mean of cases, one for each patient, the pseudo-values are the cases. All
images of a patient are left out together. Nothing is drawn at random.

A weighted measure takes weights (B, P) of P cases and gives the values (B, R) of R networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Measured:
    """A measure of R replicates' networks on the same cases of G patients.

    Attributes:
        values: (R,).
        patients: Pseudo-values (R, G) of the patients; None where only the values are known.

    Raises:
        ValueError: The values are not (R,) with R > 0, or the pseudo-values not (R, G).
    """

    values: np.ndarray
    patients: np.ndarray | None = None

    def __post_init__(self) -> None:
        found = None if self.patients is None else self.patients.shape
        if self.values.ndim != 1 or not self.values.size:
            raise ValueError(f"values must be (R,) with R > 0, got {self.values.shape}")
        if found is not None and (len(found) != 2 or found[0] != self.values.size):
            raise ValueError(f"pseudo-values must be ({self.values.size}, G), got {found}")

    def __sub__(self, other: Measured) -> Measured:
        """The paired differences of two arms, patient by patient, of the replicates that both have.

        Those are the first ones, where one arm has more than the other.

        Raises:
            ValueError: They have other numbers of patients.
        """
        R = min(len(self.values), len(other.values))
        values = self.values[:R] - other.values[:R]
        if self.patients is None or other.patients is None:
            return Measured(values)
        a, b = self.patients[:R], other.patients[:R]
        if a.shape != b.shape:
            raise ValueError(f"patients must be paired, got {a.shape[1]} and {b.shape[1]}")
        return Measured(values, a - b)


def jackknifed(measure: Callable[[np.ndarray], np.ndarray], patients: np.ndarray) -> Measured:
    """A measure of R networks and its pseudo-values, by leaving out each patient in turn.

    Args:
        measure: A weighted measure: weights (B, P) of the cases -> values (B, R); such as
            ``lambda w: weighted_mcc(w, labels, predicted, classes)``.
        patients: The patient of each case, (P,); in the same order for all arms of a contrast.
    """
    _, patient = np.unique(patients, return_inverse=True)
    G = int(patient.max()) + 1
    (values,) = measure(np.ones((1, len(patient))))  # (R,)
    without = measure((patient != np.arange(G)[:, None]).astype(np.float64))  # (G, R)
    return Measured(values, (G * values - (G - 1) * without).T)


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean (B, R) of values (R, P), such as each case's IoU or whether it is right."""
    with np.errstate(invalid="ignore"):
        return np.asarray(weights @ values.T / weights.sum(axis=1, keepdims=True))


def weighted_mcc(
    weights: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> np.ndarray:
    """MCC (B, R) of predicted classes (R, P), as :func:`ums.metrics.classification.mcc` defines it."""
    s = weights.sum(axis=1)[:, None]  # (B, 1)
    c = weights @ (predicted == labels).T  # (B, R)
    t = np.stack([weights @ (labels == k) for k in range(classes)])[:, :, None]  # (K, B, 1)
    p = np.stack([weights @ (predicted == k).T for k in range(classes)])  # (K, B, R)
    scale = np.sqrt((s**2 - (p**2).sum(axis=0)) * (s**2 - (t**2).sum(axis=0)))
    covariance = c * s - (t * p).sum(axis=0)
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0))


def weighted_auc(weights: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve (B, R) of scores (R, P) for labels 0 and 1; ties count half.

    Of two classes, a case's score is the logit of class 1 less that of class 0. NaN where all of a
    class's weights are 0.

    Raises:
        ValueError: A label is neither 0 nor 1.
    """
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 and 1, got {np.unique(labels).tolist()}")
    positive = labels == 1
    w, v = weights[:, positive], weights[:, ~positive]
    won = np.empty((len(weights), len(scores)))  # the weight of pairs in the right order
    for r, score in enumerate(scores):
        order = np.argsort(score[~positive])
        negatives = score[~positive][order]
        below = np.pad(np.cumsum(v[:, order], axis=1), ((0, 0), (1, 0)))
        first = np.searchsorted(negatives, score[positive], side="left")
        last = np.searchsorted(negatives, score[positive], side="right")
        won[:, r] = (w * (below[:, first] + below[:, last])).sum(axis=1) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(won / (w.sum(axis=1) * v.sum(axis=1))[:, None])


def weighted_r2(weights: np.ndarray, targets: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """R^2 (B, R) of numbers (R, P) for targets (P,), as :func:`ums.metrics.several.errors` defines it.

    NaN where all targets are equal.
    """
    total = weights.sum(axis=1, keepdims=True)
    mean = weights @ targets[:, None] / total
    variance = weights @ targets[:, None] ** 2 / total - mean**2
    squares = weighted_mean(weights, (numbers - targets) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(variance > 1e-12, 1 - squares / variance, np.nan))


def weighted_by_label(
    weights: np.ndarray, labels: np.ndarray, scores: np.ndarray, accuracy: bool = False
) -> np.ndarray:
    """The mean over K labels of the AUC, or the accuracy, of scores (R, P, K): (B, R).

    Labels (P, K) are 0 and 1, NaN where one is not known, which leaves the case out for that label. A label
    without a measure, as one that all cases have, takes no part in the mean.
    """
    found = []
    for k in range(labels.shape[1]):
        known = np.isfinite(labels[:, k])
        w, t, z = weights[:, known], labels[known, k], scores[:, known, k]
        right = ((z > 0) == t).astype(float)
        found.append(weighted_mean(w, right) if accuracy else weighted_auc(w, t, z))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(found, axis=0))
