"""What pilot replicates decide before the study: the trial of each arm, and how many replicates there are."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import chi2, norm

from ums.checks import check_integer, check_positive
from ums.experiments.results.intervals import t_quantile
from ums.experiments.results.verdicts import Verdict

SPREADS = 4000
"""Quantiles of the estimated spread over which chances are averaged; exact to about 1e-4."""


def best_trial(losses: np.ndarray) -> int:
    """The trial with the lowest mean relative validation loss over the pilots; the first of equals.

    A loss is taken relative to the lowest of its pilot, so that a pilot with hard images counts as much
    as one with easy images. A trial that diverged in a pilot, its loss not finite, is out.

    Args:
        losses: (trials, pilots), or (trials, pilots, tasks) of tasks that are tuned together, where each
            task's loss is taken relative to its own lowest.

    Raises:
        ValueError: There are no losses, a loss is not positive, or every trial diverged in a pilot.
    """
    losses = np.asarray(losses, dtype=np.float64)
    if losses.ndim < 2 or not losses.size:
        raise ValueError(f"losses must be (trials, pilots) or more, got {losses.shape}")
    if (losses <= 0).any():
        raise ValueError(f"losses must be positive, got {losses.min()}")
    flat = np.where(np.isfinite(losses), losses, np.inf).reshape(len(losses), -1)
    done = np.flatnonzero(np.isfinite(flat).all(axis=1))
    if not done.size:
        raise ValueError(f"each of the {len(flat)} trials diverged in a pilot")
    relative = flat[done] / flat[done].min(axis=0)
    return int(done[relative.mean(axis=1).argmin()])


def replicates_needed(sd: float, half_width: float, family: int = 1) -> int:
    """The least number of replicates whose interval over trainings has at most this half width.

    An interval as wide as the margin tells a difference of 0 from one of twice the margin, but cannot
    lie inside the margin: :func:`verdict_chances` says what a number of replicates can show.

    Args:
        sd: Spread of the paired differences over the pilots.
        half_width: In the same unit.
        family: The number of simultaneous intervals.

    Raises:
        ValueError: The spread is negative or not finite, the half width not positive.
    """
    if not 0 <= sd < math.inf:
        raise ValueError(f"sd must be at least 0, got {sd}")
    check_positive("half width", half_width)
    least = t_quantile(10**9, family) * sd / half_width  # a t quantile is above the normal one
    R = max(2, math.ceil(least**2))
    while t_quantile(R - 1, family) * sd / math.sqrt(R) > half_width:
        R += 1
    return R


def verdict_chances(
    difference: float, sd: float, replicates: int, margin: float, family: int = 1
) -> dict[Verdict, float]:
    """The chance of each verdict by the interval over trainings, if this is the true difference.

    The chance of the right verdict, negligible for a difference inside the margin, else holds or
    refuted, is the power. The mean is normal and independent of the estimated spread, over whose
    distribution (chi, R - 1 degrees of freedom) the chances are averaged.

    Args:
        difference: The true mean.
        sd: Spread of the paired differences over replicates.
        replicates: R, at least 2.
        margin: The largest difference that does not matter.
        family: The number of simultaneous intervals.

    Raises:
        ValueError: The spread or the margin is not positive, or there is one replicate.
    """
    check_positive("sd", sd)
    check_positive("margin", margin)
    check_integer("replicates", replicates, 2)
    freedom, error = replicates - 1, sd / math.sqrt(replicates)
    shares = (np.arange(SPREADS) + 0.5) / SPREADS
    half = t_quantile(freedom, family) * error * np.sqrt(chi2.ppf(shares, freedom) / freedom)

    def between(low: np.ndarray | float, high: np.ndarray | float) -> float:
        z_low, z_high = (np.subtract(x, difference) / error for x in (low, high))
        return float(np.maximum(norm.cdf(z_high) - norm.cdf(z_low), 0).mean())

    inside = margin - half
    negligible = between(-inside, inside)
    holds = between(half, math.inf) - between(half, inside)
    refuted = between(-math.inf, -half) - between(-inside, -half)
    return {
        Verdict.NEGLIGIBLE: negligible,
        Verdict.HOLDS: holds,
        Verdict.REFUTED: refuted,
        Verdict.OPEN: 1 - negligible - holds - refuted,
    }
