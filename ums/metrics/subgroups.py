"""Groups of patients, by age for example, whose scores are looked at by themselves."""

from collections.abc import Sequence

import numpy as np


def age_groups(ages: np.ndarray, edges: Sequence[int] = (18, 40, 60)) -> np.ndarray:
    """The group of each age (N,) in whole years, "0-17" or "60+"; "" for an age below 0, unknown.

    ``edges`` are the first ages of all groups but the youngest, rising.
    """
    first = [0, *edges]
    names = [f"{low}-{high - 1}" for low, high in zip(first, edges, strict=False)]
    numbers = np.searchsorted(edges, ages, side="right")
    return np.where(np.asarray(ages) < 0, "", np.take([*names, f"{first[-1]}+"], numbers))
