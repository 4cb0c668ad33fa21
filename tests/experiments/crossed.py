"""Differences of two arms drawn from a model: replicates and patients that vary, and their interaction."""

from typing import NamedTuple

from ums.experiments.results.jackknife import Measured


class Spread(NamedTuple):
    """Standard deviations of paired differences, and how many patients they are tested on."""

    replicates: float
    patients: float
    rest: float
    G: int


IOU = Spread(0.02, 0.03, 0.05, 60)
MCC = Spread(0.07, 0.3, 0.8, 80)
SMALL_TEST = Spread(0.02, 0.5, 1.0, 20)  # patients decide
NO_TRAINING = Spread(0.0, 0.0, 1.0, 30)  # all is chance of the single case


def drawn(spread, R, mean, rng):
    """One study's differences, and the mean that any trainings would have on its patients."""
    of_patients = mean + spread.patients * rng.normal(size=spread.G)
    of_replicates = spread.replicates * rng.normal(size=(R, 1))
    patients = of_patients + of_replicates + spread.rest * rng.normal(size=(R, spread.G))
    return Measured(patients.mean(axis=1), patients), of_patients.mean()
