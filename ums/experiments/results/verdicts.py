"""Contrasts of two arms on a task, and what their intervals say about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from ums.experiments.results.intervals import over_trainings, over_trainings_and_patients
from ums.experiments.results.jackknife import Measured
from ums.metrics.significance import Interval

MARGINS = {"IoU": 0.01, "MCC": 0.05}
"""The largest difference that does not matter, by measure; fixed before any result."""


class Verdict(str, Enum):
    """What an interval says about "a scores higher than b"; on the page with a mark and a colour."""

    NEGLIGIBLE = "negligible"
    HOLDS = "holds"
    REFUTED = "refuted"
    OPEN = "open"

    @property
    def mark(self) -> str:
        """The sign that says the same without colour."""
        return {"NEGLIGIBLE": "≈", "HOLDS": "✓", "REFUTED": "✗", "OPEN": "?"}[self.name]


def verdict(interval: Interval, margin: float) -> Verdict:
    """The verdict on a difference from its interval.

    Negligible where the interval lies inside [-margin, margin], even if it excludes 0; else it holds
    where it lies above 0, is refuted where it lies below, and is open otherwise and without an interval.
    """
    if -margin <= interval.low and interval.high <= margin:
        return Verdict.NEGLIGIBLE
    if interval.low > 0:
        return Verdict.HOLDS
    return Verdict.REFUTED if interval.high < 0 else Verdict.OPEN


@dataclass(frozen=True)
class Contrast:
    """The difference of two arms on one task, a less b, over R replicates.

    Attributes:
        mean: Of the replicates' differences.
        trainings: Interval over other trainings, for these test patients; NaN for one replicate.
        both: Interval over other trainings and other patients; NaN where it cannot be had.
        replicates: R.
        margin: The largest difference that does not matter.
    """

    mean: float
    trainings: Interval
    both: Interval
    replicates: int
    margin: float

    @property
    def interval(self) -> Interval:
        """Over trainings and patients; over trainings where there is no other."""
        return self.trainings if math.isnan(self.both.low) else self.both

    @property
    def verdict(self) -> Verdict:
        """By the interval."""
        return verdict(self.interval, self.margin)


def contrast(
    a: Measured, b: Measured, margin: float, correlation: float = 0.0, family: int = 1
) -> Contrast:
    """Compare two arms whose replicates and patients are paired, in the same order.

    Args:
        a: The arm that is said to score higher.
        b: The other.
        margin: The largest difference that does not matter, of :data:`MARGINS`.
        correlation: Of two replicates; see :mod:`ums.experiments.results.intervals`.
        family: How many contrasts are to be right together; 1 for a plain interval.

    Raises:
        ValueError: The arms are not paired, or the correlation is not in [0, 1).
    """
    difference = a - b
    return Contrast(
        float(difference.values.mean()),
        over_trainings(difference.values, correlation, family),
        over_trainings_and_patients(difference, correlation, family),
        len(difference.values),
        margin,
    )
