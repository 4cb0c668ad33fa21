"""Scores by sub-group of the patients, by age or sex for example."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ums.metrics.significance import Interval, bootstrap_interval


class GroupScore(NamedTuple):
    """The cases of a group, their score and its interval."""

    cases: int
    score: float
    interval: Interval


def by_group(
    statistic: Callable[..., float],
    cases: Sequence[np.ndarray],
    groups: np.ndarray,
    rng: np.random.Generator,
    patients: np.ndarray | None = None,
) -> dict[str, GroupScore]:
    """Score the cases of each group by themselves.

    Args:
        statistic: As for :func:`ums.metrics.significance.bootstrap_interval`: ``np.mean`` of per-case
            scores, or a measure of labels and scores.
        cases: Arrays (N, ...), the arguments of ``statistic``.
        groups: (N,) names; cases without one, "", are in no group.
        rng: Draws the resamples.
        patients: (N,), for resampling whole patients.

    Returns:
        Name -> score and 95 % interval of the group, in the order of the names.

    Raises:
        ValueError: The arrays have not one length.
    """
    groups, arrays = np.asarray(groups, str), [np.asarray(array) for array in cases]
    given = arrays if patients is None else [*arrays, np.asarray(patients)]
    if any(len(array) != len(groups) for array in given):
        raise ValueError(f"{len(groups)} groups for {[len(array) for array in given]} cases")
    scores = {}
    for name in np.unique(groups[groups != ""]).tolist():
        own = groups == name
        chosen = [array[own] for array in arrays]
        members = None if patients is None else np.asarray(patients)[own]
        interval = bootstrap_interval(statistic, chosen, rng, groups=members)
        scores[name] = GroupScore(int(own.sum()), float(statistic(*chosen)), interval)
    return scores


def age_groups(ages: np.ndarray, edges: Sequence[int] = (18, 40, 60)) -> np.ndarray:
    """The group of each age (N,) in whole years, "0-17" or "60+"; "" for an age below 0, unknown.

    ``edges`` are the first ages of all groups but the youngest, rising.
    """
    first = [0, *edges]
    names = [f"{low}-{high - 1}" for low, high in zip(first, edges, strict=False)]
    numbers = np.searchsorted(edges, ages, side="right")
    return np.where(np.asarray(ages) < 0, "", np.take([*names, f"{first[-1]}+"], numbers))
