r"""Logistic regression with an L2 penalty, fitted to convergence: a few numbers, a convex loss.

With z = offset + x w + b and labels t of 0 and 1, the fit minimises

    mean_n[log(1 + exp z_n) - t_n z_n] + penalty / 2 |w|^2,

the categorical cross-entropy of two classes; the bias b is not penalised.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


class Logistic(NamedTuple):
    """The weights w (D,) and the bias b of a fitted regression."""

    weights: np.ndarray
    bias: float

    def logits(self, x: np.ndarray) -> np.ndarray:
        """The log odds of label 1, x w + b: (N, D) -> (N,) float64."""
        return np.asarray(np.asarray(x, np.float64) @ self.weights + self.bias)


def fit_logistic(
    x: np.ndarray, labels: np.ndarray, penalty: float, offset: np.ndarray | float = 0.0
) -> Logistic:
    """Fit a logistic regression.

    Without a penalty there is no finite fit where a plane parts the two classes.

    Args:
        x: (N, D) features of one scale, since the penalty treats all weights alike; D may be 0.
        labels: (N,) of 0 and 1, both of them.
        penalty: At least 0.
        offset: A part of the logits that is given, (N,) or one number.

    Raises:
        ValueError: The shapes do not fit, the features are not finite, the labels are not 0 and 1, or
            the penalty is negative.
    """
    x, t = np.asarray(x, np.float64), np.asarray(labels)
    if x.ndim != 2 or t.shape != x.shape[:1] or not np.isfinite(x).all():
        raise ValueError(f"expected finite features (N, D), labels (N,), got {x.shape}, {t.shape}")
    if np.unique(t).tolist() != [0, 1]:
        raise ValueError(f"labels must be 0 and 1, both of them, got {np.unique(t).tolist()}")
    if not penalty >= 0:
        raise ValueError(f"the penalty must be at least 0, got {penalty}")

    # The best weights are a sum of the rows of x: N numbers say as much as D.
    basis, upper = np.linalg.qr(x.T) if x.shape[1] > len(x) else (None, x.T)
    design = np.append(upper.T, np.ones((len(x), 1)), axis=1)
    ridge = np.append(np.full(len(upper), penalty), 0.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = offset + design @ parameters
        value = np.mean(np.logaddexp(0, z) - t * z) + ridge * parameters @ parameters / 2
        return float(value), design.T @ ((expit(z) - t) / len(t)) + ridge * parameters

    def curvature(parameters: np.ndarray) -> np.ndarray:
        p = expit(offset + design @ parameters)
        return np.asarray(design.T @ (design * (p * (1 - p) / len(t))[:, None]) + np.diag(ridge))

    options = {"maxiter": 200, "gtol": 1e-9}
    start = np.zeros(design.shape[1])
    best = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options).x
    weights = best[:-1] if basis is None else basis @ best[:-1]
    return Logistic(weights, float(best[-1]))
