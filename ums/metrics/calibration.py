r"""Do predicted probabilities mean what they say? Brier score, calibration intercept and slope.

Labels are 0 and 1, (N,); 1 is the finding that is looked for. A network may rank the patients of another
hospital well and still call most of them ill. Van Calster et al. 2019 (BMC Medicine 17:230) and the
TRIPOD statement ask for the intercept and the slope beside the area under the ROC curve; expected
calibration errors depend on how the probabilities are binned. Labels and scores of a wrong shape or range
raise a ValueError.
"""

from typing import NamedTuple

import numpy as np

from ums.logistic import fit_logistic
from ums.metrics.classification import checked_scores


class Calibration(NamedTuple):
    """How the log odds of the labels depend on the predicted log odds z.

    Attributes:
        intercept: a in log odds = a + z, "calibration in the large": 0 is right, below 0 the
            probabilities are too high on average.
        slope: b in log odds = c + b z: 1 is right, below 1 the probabilities are too extreme.
    """

    intercept: float
    slope: float


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean squared error of the probabilities of label 1 (Brier 1950): 0 is perfect.

    Saying 1/2 always gives 1/4, and saying the share p of the ill always p (1 - p).
    """
    positive, p = checked_scores(labels, probabilities)
    if (p < 0).any() or (p > 1).any():
        raise ValueError(f"probabilities must be in [0, 1], got {p.min()} to {p.max()}")
    return float(np.mean((p - positive) ** 2))


def calibration(labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Intercept and slope of the labels' logistic regression on predicted log odds (Cox 1958).

    The log odds of a network with two logits are their difference. Both numbers are NaN where a
    class is absent. Where all log odds are equal, there is no slope (NaN); where a threshold parts
    the classes, it is infinite, of either sign.
    """
    positive, z = checked_scores(labels, logits)
    if positive.all() or not positive.any():
        return Calibration(float("nan"), float("nan"))
    intercept = fit_logistic(np.empty((len(z), 0)), positive, 0.0, z).bias
    ill, well = z[positive], z[~positive]
    if z.min() == z.max():
        slope = float("nan")
    elif ill.min() >= well.max() or ill.max() <= well.min():
        slope = float("inf") if ill.min() >= well.max() else float("-inf")
    else:
        scale = z.std()  # so that the fit starts near its end, whatever the logits' unit
        slope = float(fit_logistic(z[:, None] / scale, positive, 0.0).weights[0] / scale)
    return Calibration(intercept, slope)
