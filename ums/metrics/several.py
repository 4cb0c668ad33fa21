"""Measures of several labels, label by label, and of masks of several classes, class by class.

Each returns one row per label or class; its mean over them is ``.mean(axis=0)``.
"""

from collections.abc import Callable

import numpy as np

from ums.metrics.classification import checked_scores


def by_label(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """A measure, such as ``roc_auc``, of each of K labels (N, K) of 0 and 1 and its scores: (K,).

    Labels that are NaN are not known and left out. NaN where the measure is, or nothing is known.

    Raises:
        ValueError: The shapes differ or are not (N, K), or the measure refuses the values.
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"labels and scores must be (N, K), got {labels.shape} and {scores.shape}")
    found = [(t[~np.isnan(t)], y[~np.isnan(t)]) for t, y in zip(labels.T, scores.T, strict=True)]
    return np.array([measure(t, y) if len(t) else np.nan for t, y in found])


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """``sum_n (R_n - R_(n-1)) P_n`` over the thresholds, with recall R_n and precision P_n.

    The area under the precision-recall curve, in steps; saying anything at random gives the share of
    label 1. Labels are 0 and 1; equal scores are one threshold. NaN where no label is 1.
    """
    positive, scores = checked_scores(labels, scores)
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / positive.sum())


def by_class(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray | float],
    target: np.ndarray,
    prediction: np.ndarray,
    classes: int,
) -> np.ndarray:
    """A measure, such as ``segmentation.iou``, of each class against the rest: (K, N), or (K,).

    Masks are (N, H, W) or (H, W) integers in 0 .. classes - 1, else a ValueError. A class that is
    neither present nor predicted in an image scores 1.0 there, as empty masks do.
    """
    for name, masks in (("target", target), ("prediction", prediction)):
        if masks.dtype.kind not in "iu" or masks.min() < 0 or masks.max() >= classes:
            found = f"{masks.dtype} from {masks.min()} to {masks.max()}"
            raise ValueError(f"{name} must be integers in 0..{classes - 1}, got {found}")
    return np.array([measure(target == k, prediction == k) for k in range(classes)])
