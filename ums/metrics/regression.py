"""How far predicted numbers are from the true ones: mean absolute error, RMSE and R^2.

Targets and predictions are (N,). A target that is NaN is not known and left out; with none that is
known, or predictions of another shape or that are not finite, there is a ValueError.
"""

import numpy as np

from ums.metrics.pairs import vector


def mean_absolute_error(targets: np.ndarray, predictions: np.ndarray) -> float:
    """``mean |t - y|``, in the numbers' own unit."""
    t, y = _known(targets, predictions)
    return float(np.abs(t - y).mean())


def root_mean_square_error(targets: np.ndarray, predictions: np.ndarray) -> float:
    """``sqrt(mean (t - y)^2)``, likewise; large errors count more."""
    t, y = _known(targets, predictions)
    return float(np.sqrt(np.square(t - y).mean()))


def r_squared(targets: np.ndarray, predictions: np.ndarray) -> float:
    """``1 - sum (t - y)^2 / sum (t - mean t)^2``: 1 is perfect, 0 as good as saying the mean.

    NaN where all targets are equal.
    """
    t, y = _known(targets, predictions)
    spread = np.square(t - t.mean()).sum()
    return float(1 - np.square(t - y).sum() / spread) if t.min() < t.max() else float("nan")


def _known(targets: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t, y = vector(targets, "targets", np.float64), vector(predictions, "predictions", np.float64)
    if t.shape != y.shape:
        raise ValueError(f"{t.shape} targets for {y.shape} predictions")
    known = ~np.isnan(t)
    if not known.any() or not np.isfinite(y).all():
        raise ValueError("no target is known" if not known.any() else "predictions must be finite")
    return t[known], y[known]
