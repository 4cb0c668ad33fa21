"""Is a difference more than chance? McNemar's test, Holm's correction, bootstrap, sign-flip test.

With a hundred test images a score is uncertain by a few points either way, so tables give intervals.
They hold for the trained networks on images like these; how much scores vary from one training run to
another shows only when the training is repeated.

Arguments of a wrong shape, type or range raise a ValueError.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from ums.metrics.pairs import vector

PATTERN_SIGNS = 1 << 18
"""Signs drawn at a time by the sign-flip test, to bound its memory (2 MiB)."""


class McNemar(NamedTuple):
    """How many cases only the first classifier got right, how many only the second, and p."""

    only_a: int
    only_b: int
    p_value: float


class Interval(NamedTuple):
    """The bounds of a confidence interval, in the statistic's own unit."""

    low: float
    high: float


def mcnemar_exact(correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
    """Exact two-sided test that two classifiers err equally often (McNemar 1947, Psychometrika 12).

    The arguments are booleans (N,): whether each classifier is right about each case. Only the n
    discordant cases count, those that exactly one classifier got right. If both are equally good,
    either wins Binomial(n, 1/2) of these, so that::

        p = min(1, 2 P(X <= min(only_a, only_b))),    X ~ Binomial(n, 1/2)

    and p = 1 where there is no discordant case. Cases are taken as independent, which several
    images of one patient are not.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"expected two non-empty arrays (N,), got {a.shape} and {b.shape}")
    if a.dtype != bool or b.dtype != bool:
        raise ValueError(f"right or wrong must be boolean, got {a.dtype} and {b.dtype}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tail = binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    return McNemar(only_a, only_b, float(min(1.0, 2 * tail)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Correct m p-values for their number, in their order (Holm 1979, Scand. J. Statistics 6).

    With p_1 <= ... <= p_m in rising order, the k-th becomes the largest of ``(m - i + 1) p_i`` over
    i <= k, at most 1. Where only corrected values below 0.05 are called significant, the chance of
    calling any true null hypothesis so is at most 0.05, whatever the tests' dependence.
    """
    p = vector(p_values, "p-values", np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie in [0, 1], got {p.tolist()}")
    rising = np.argsort(p)
    steps = np.arange(p.size, 0, -1) * p[rising]
    adjusted = np.empty_like(p)
    adjusted[rising] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def bootstrap_interval(
    statistic: Callable[..., float],
    cases: Sequence[np.ndarray],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
    groups: np.ndarray | None = None,
) -> Interval:
    """Confidence interval of a score by percentile bootstrap (Efron and Tibshirani 1993, ch. 13).

    The score is ``statistic(*cases)``, of arrays with a common first axis N, such as labels and
    predictions. N cases are drawn with replacement, again and again; the interval holds the middle
    ``level`` of the resamples' scores. Scores that are not finite are left out; where they are more
    than half, or there is only one case or group, the bounds are NaN. A score that every case agrees
    on (accuracy 1.0) gives an interval of no width, as no resample has an error that the test set
    does not have.

    With ``groups``, the patient of each case (N,), whole patients are drawn: images of one patient
    resemble each other, and an interval that took them as independent would be too narrow (Field and
    Welsh 2007, JRSS B 69).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    arrays = [np.asarray(array) for array in cases]
    shapes = [array.shape for array in arrays]
    if len({shape[:1] for shape in shapes}) != 1 or shapes[0][:1] in ((), (0,)):
        raise ValueError(f"cases must share a first axis N > 0, got shapes {shapes}")
    members = None if groups is None else _members(groups, len(arrays[0]))
    units = len(arrays[0] if members is None else members)
    values = np.empty(resamples)
    for k in range(resamples):
        drawn = rng.integers(units, size=units)
        if members is not None:
            drawn = np.concatenate([members[group] for group in drawn])
        values[k] = statistic(*(array[drawn] for array in arrays))
    finite = values[np.isfinite(values)]
    if units < 2 or 2 * finite.size < resamples:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _members(groups: np.ndarray, cases: int) -> list[np.ndarray]:
    """The case numbers of each group, the groups in the order in which they first occur."""
    if np.shape(groups) != (cases,):
        raise ValueError(f"groups must be ({cases},) for {cases} cases, got {np.shape(groups)}")
    members: dict[object, list[int]] = {}
    for case, group in enumerate(np.asarray(groups).tolist()):
        members.setdefault(group, []).append(case)
    return [np.array(of_one) for of_one in members.values()]


def paired_permutation(
    differences: np.ndarray, rng: np.random.Generator, resamples: int = 10_000
) -> float:
    """Two-sided p-value that paired scores differ, by flipping signs (Fisher 1935, ch. 3).

    The N differences are one method's scores less the other's, case by case (IoU of the same image,
    say; one mean per patient where patients have several images). If both methods are alike, each
    could as well have the other sign: p is the share of sign patterns whose sum is at least as far
    from 0 as the sum observed. All 2^N patterns are taken where that is at most ``resamples``.
    Otherwise that many are drawn, and the observed one counts as one more,
    ``p = (1 + at least as far) / (1 + resamples)``: p is never 0 (Phipson and Smyth 2010).
    """
    d = vector(differences, "differences", np.float64)
    if not np.isfinite(d).all():
        raise ValueError("differences must be finite numbers")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    # Sums that are equal in mathematics differ by rounding: they must count as equally far.
    far = abs(d.sum()) - 1e-12 * abs(d).sum()
    if 2**d.size <= resamples:
        flips = np.arange(2**d.size)[:, None] >> np.arange(d.size) & 1  # (2^N, N)
        return float(np.mean(abs((1 - 2 * flips) @ d) >= far))
    at_once = max(1, PATTERN_SIGNS // d.size)
    as_far = 1
    for start in range(0, resamples, at_once):
        flips = rng.integers(2, size=(min(at_once, resamples - start), d.size))
        as_far += int(np.count_nonzero(abs((1 - 2 * flips) @ d) >= far))
    return float(as_far / (1 + resamples))
