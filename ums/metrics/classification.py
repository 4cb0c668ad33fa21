"""How well predicted classes match the true ones: accuracy, F-score, MCC, area under the ROC curve.

Labels and predictions are integer arrays (N,) with classes 0 .. classes - 1; a whole set gives one
number. Where a ratio is 0 / 0, it is 0.0 (F-score, MCC) or NaN (recall, area under the ROC curve). An
empty set, shapes that differ, values that are not classes and scores that are not finite raise a
ValueError.
"""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import rankdata

from ums.metrics.pairs import vector


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count how often true class i was predicted as class j: int64 (classes, classes)."""
    labels = _class_numbers(labels, classes, "labels")
    predictions = _class_numbers(predictions, classes, "predictions")
    if labels.shape != predictions.shape:
        raise ValueError(f"{labels.shape} labels for {predictions.shape} predictions")
    pairs = labels * classes + predictions
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def accuracy(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """The share of correct predictions, ``trace(C) / sum(C)`` of the confusion matrix C."""
    counts = confusion_matrix(labels, predictions, classes)
    return float(np.trace(counts) / counts.sum())


def f_score(
    labels: np.ndarray, predictions: np.ndarray, classes: int, positive: int | None = None
) -> float:
    """F-score of one class against the rest, ``2 TP / (2 TP + FP + FN)``, or the classes' mean.

    ``positive`` names the class that counts as positive (in a two-class problem the finding that is
    looked for). Without it the result is the macro mean: every class's F-score, equally weighted.
    A class that is neither present nor predicted has no F-score and counts as 0.0.
    """
    counts = confusion_matrix(labels, predictions, classes)
    present_and_predicted = counts.sum(axis=0) + counts.sum(axis=1)  # 2 TP + FP + FN per class
    scores = 2 * np.diag(counts) / np.maximum(present_and_predicted, 1)
    return float(scores.mean() if positive is None else scores[_checked_class(positive, classes)])


def recall(labels: np.ndarray, predictions: np.ndarray, classes: int, positive: int) -> float:
    """The share of the cases of class ``positive`` that are predicted as such, ``TP / (TP + FN)``.

    Of two classes, the sensitivity is the recall of the finding that is looked for, the specificity
    that of the other class. NaN where no case is of the class.
    """
    row = confusion_matrix(labels, predictions, classes)[_checked_class(positive, classes)]
    return float(row[positive] / row.sum()) if row.sum() else float("nan")


def mcc(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """Matthews' correlation coefficient, in [-1, 1], for two or more classes (Gorodkin 2004).

    With s samples, c of them correct, t_k samples of class k and p_k predictions of class k::

        MCC = (c s - sum_k t_k p_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))

    For two classes this is Matthews' formula (1975), the correlation of labels and predictions.
    0.0 where it is undefined: all labels, or all predictions, are of one class.
    """
    counts = confusion_matrix(labels, predictions, classes).astype(np.float64)
    s, c = counts.sum(), np.trace(counts)
    t, p = counts.sum(axis=1), counts.sum(axis=0)
    scale = np.sqrt((s**2 - p @ p) * (s**2 - t @ t))
    return float((c * s - t @ p) / scale) if scale > 0 else 0.0


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting 1/2.

    Labels are 0 and 1, or booleans; a higher score is more positive. NaN where one of the classes is
    absent. By ranks (Mann and Whitney 1947), tied scores sharing their mean rank::

        AUC = (sum of the positives' ranks - P (P + 1) / 2) / (P Q),  P positives, Q negatives
    """
    positive, scores = checked_scores(labels, scores)
    P = int(positive.sum())
    Q = positive.size - P
    if P == 0 or Q == 0:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - P * (P + 1) / 2) / (P * Q))


def one_vs_rest_auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean over K classes of the area under the ROC curve of the class against all others.

    A class is scored by its log odds, ``z_c - log sum_(j != c) exp z_j``, from the logits z (N, K); of
    two classes, both have the same area, that of :func:`roc_auc` on the difference of their logits.
    NaN where a class is absent.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(f"logits must be (N, K) with K > 1, got {z.shape}")
    labels = _class_numbers(labels, z.shape[1], "labels")
    if z.shape[1] == 2:
        return roc_auc(labels, z[:, 1] - z[:, 0])
    odds = [z[:, c] - logsumexp(np.delete(z, c, axis=1), axis=1) for c in range(z.shape[1])]
    return float(np.mean([roc_auc(labels == c, odds[c]) for c in range(z.shape[1])]))


def checked_scores(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 0 and 1 as booleans (N,), and their scores as float64 (N,).

    Raises:
        ValueError: They are of other values or shapes, or a score is not finite.
    """
    positive = _class_numbers(labels, 2, "labels") == 1
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != positive.shape:
        raise ValueError(f"{positive.shape} labels for {scores.shape} scores")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers")
    return positive, scores


def _checked_class(positive: int, classes: int) -> int:
    if positive not in range(classes):
        raise ValueError(f"positive class {positive} is not in 0 .. {classes - 1}")
    return positive


def _class_numbers(values: np.ndarray, classes: int, name: str) -> np.ndarray:
    values = vector(values, name)
    if not np.isin(values, range(classes)).all():
        raise ValueError(f"{name} must be whole numbers in 0 .. {classes - 1}")
    return values.astype(np.int64)
