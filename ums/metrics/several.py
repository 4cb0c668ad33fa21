"""Measures of numbers, of several labels, label by label, and of masks of several classes.

Targets that are NaN are not known and left out. What is of another shape or range is a ValueError.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ums.metrics.classification import checked_scores


class Errors(NamedTuple):
    """Mean absolute error, root mean square error, and R^2 = 1 - sum (t - y)^2 / sum (t - mean t)^2.

    R^2 is 1 for perfect predictions y, 0 for the mean of the targets t, NaN where those are all equal.
    """

    mae: float
    rmse: float
    r2: float


def errors(targets: np.ndarray, predictions: np.ndarray) -> Errors:
    """How far predicted numbers (N,) are from the true ones, in their own unit."""
    t, y = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if t.ndim != 1 or t.shape != y.shape or np.isnan(t).all() or not np.isfinite(y).all():
        shapes = f"got {t.shape} and {y.shape}"
        raise ValueError(f"targets, of which some are known, and finite predictions (N,), {shapes}")
    t, y = t[~np.isnan(t)], y[~np.isnan(t)]
    square = np.square(t - y).mean()
    r2 = 1 - square / t.var() if t.min() < t.max() else np.nan
    return Errors(float(np.abs(t - y).mean()), float(np.sqrt(square)), float(r2))


def by_label(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """A measure such as ``roc_auc`` of each of K labels (N, K) of 0 and 1, (K,), NaN if none is known.

    ``np.mean`` of it is the labels' mean, ``np.nanmean`` that of the labels which have the measure.
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"labels and scores must be (N, K), got {labels.shape} and {scores.shape}")
    pairs = zip(labels.T, scores.T, ~np.isnan(labels.T), strict=True)
    return np.array([measure(t[k], y[k]) if k.any() else np.nan for t, y, k in pairs])


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """``sum_n (R_n - R_(n-1)) P_n`` over all thresholds, with recall R_n and precision P_n.

    Scores that say nothing give the share of label 1. Equal scores are one threshold. NaN where no
    label is 1.
    """
    positive, scores = checked_scores(labels, scores)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    total = positive.sum()
    return float((np.diff(hits, prepend=0) * precision).sum() / total) if total else float("nan")


def by_class(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray | float],
    target: np.ndarray,
    prediction: np.ndarray,
    classes: int,
) -> np.ndarray:
    """A measure such as ``segmentation.iou`` of each class 0 .. classes - 1 of masks (N, H, W): (K, N).

    Its mean over axis 0 is that of the classes. A class that is neither in an image's mask nor predicted
    scores 1 there, as empty masks do.
    """
    for name, masks in (("target", target), ("prediction", prediction)):
        if not np.isin(masks, range(classes)).all():
            found = f"{masks.min()} to {masks.max()}"
            raise ValueError(f"{name} must be classes in 0..{classes - 1}, got {found}")
    return np.array([measure(target == k, prediction == k) for k in range(classes)])
