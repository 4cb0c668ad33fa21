"""Intervals of a mean over replicates: over trainings alone, and over trainings and patients.

A replicate draws everything anew: the training images, the source, the start and the order. All are tested
on the same patients. Both intervals are t intervals of 95 %, and simultaneous ones for a family of m
contrasts take each at 1 - 0.05 / m (Bonferroni), which holds however the contrasts depend on each other.

Replicates drawn from a small pool share images and are alike, so that their spread says too little. With
a correlation rho between two replicates, the variance of the mean of R is estimated without bias by
``s^2 (1 / R + rho / (1 - rho))`` (Nadeau and Bengio 2003, Machine Learning 52, section 3). Where the test
set is fixed and each replicate trains on n of the pool's N images, two share n / N of theirs on average, and
rho = n / N, which gives ``s^2 (1 / R + n / (N - n))``, too wide rather than too narrow where the start
and the order matter as well. (Their own ratio, of tested to trained-on images, is for splits that test on
what they leave out.) With rho = 0, the interval is conditional on the pool.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.stats import t

from ums.experiments.results.jackknife import Measured
from ums.metrics.significance import Interval

LEVEL = 0.95
NOTHING = Interval(math.nan, math.nan)


@cache
def t_quantile(freedom: int, family: int = 1) -> float:
    """Standard errors from the mean to a bound, for one of ``family`` simultaneous intervals."""
    return float(t.isf((1 - LEVEL) / 2 / family, freedom))


def over_trainings(values: np.ndarray, correlation: float = 0.0, family: int = 1) -> Interval:
    """The interval of the mean of R replicates (R,) over other trainings, for these test patients.

    Args:
        values: Each replicate's difference of two arms, or its score.
        correlation: Of two replicates; see the module.
        family: The number of simultaneous intervals of which this is one.

    Returns:
        NaN for one replicate, which says nothing about others.

    Raises:
        ValueError: The correlation is not in [0, 1).
    """
    if len(values) < 2:
        return NOTHING
    variance = _of_trainings(values, correlation)
    return _around(values, t_quantile(len(values) - 1, family) ** 2 * variance)


def over_trainings_and_patients(
    measured: Measured, correlation: float = 0.0, family: int = 1
) -> Interval:
    """The interval of the mean of R replicates over other trainings and other patients.

    Replicates and patients are crossed, and the variance of the mean is that of a two-way table with
    random rows and columns: V_R of the mean over replicates, from their R values, plus V_G over patients,
    from the G means of their pseudo-values over replicates, less V_RG, the interaction, which is in
    both. Each is multiplied by the square of its own t quantile, of R - 1, G - 1 and (R - 1)(G - 1)
    degrees of freedom, and V_RG is at most the smaller of the other two::

        half width^2 = t_R^2 V_R + t_G^2 V_G - t_RG^2 min(V_R, V_G, V_RG)

    The first two terms alone cover at least 95 % of the time (Banerjee 1960, Sankhya 22); the third takes
    back what counts twice. By simulation this covers at least 95 % for 2 to 40 replicates and
    5 to 600 patients, whatever the shares of the three, where Satterthwaite's degrees of freedom cover
    as little as 89 % for two replicates and 93 % for three. The pigeonhole bootstrap (Owen 2007, Annals of
    Applied Statistics 1) counts the interaction three times and, as any resampling of R replicates, their
    variance only (R - 1) / R times, with no t quantile. A mixed model has the same variances in a balanced
    table, but a normal quantile.

    Args:
        measured: The paired difference of two arms, ``a - b``, or one arm's.
        correlation: Of two replicates; see the module.
        family: The number of simultaneous intervals of which this is one.

    Returns:
        NaN for one replicate or one patient, or where the patients are not known.

    Raises:
        ValueError: The correlation is not in [0, 1).
    """
    values, patients = measured.values, measured.patients
    if patients is None or min(R := len(values), G := patients.shape[1]) < 2:
        return NOTHING
    of_patients = patients.mean(axis=0)  # (G,)
    rest = patients - of_patients - patients.mean(axis=1, keepdims=True) + of_patients.mean()
    freedom = (R - 1, G - 1, (R - 1) * (G - 1))
    V = (
        _of_trainings(values, correlation),
        of_patients.var(ddof=1) / G,
        (rest**2).sum() / freedom[2] / (R * G),
    )
    T, U, S = (t_quantile(f, family) ** 2 for f in freedom)
    return _around(values, T * V[0] + U * V[1] - S * min(V))


def _of_trainings(values: np.ndarray, correlation: float) -> float:
    """The variance of the mean over trainings."""
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must be at least 0 and below 1, got {correlation}")
    return float(values.var(ddof=1) * (1 / len(values) + correlation / (1 - correlation)))


def _around(values: np.ndarray, squared: float) -> Interval:
    mean, half = float(values.mean()), math.sqrt(squared)
    return Interval(mean - half, mean + half)
