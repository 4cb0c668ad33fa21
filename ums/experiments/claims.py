"""Claims on which strategy scores higher, and what measured differences say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ums.experiments.report import Verdict

SIGNIFICANT = 0.05
"""The paper's level."""


class Claim(NamedTuple):
    """One strategy scores above another on some tasks of a part, for a reason the paper names."""

    part: str
    better: str
    worse: str
    tasks: tuple[str, ...]
    source: str


def verdict(differences: Sequence[float], tested: float, p_value: float) -> Verdict:
    """What differences, better less worse, say of a claim.

    Test cases cannot tell whether another training would come out the same, and a test of right answers
    may favour a strategy whose MCC is the lower one: the claim stays open where the folds and the test
    do not agree on the sign, however small p is.

    Args:
        differences: of the claim's measure, by fold.
        tested: of what the test is about, summed over the cases.
        p_value: of that test, corrected.
    """
    signs = set(np.sign([*differences, tested]))
    if p_value < SIGNIFICANT and signs in ({1}, {-1}):
        return Verdict.HOLDS if signs == {1} else Verdict.FAILS
    return Verdict.OPEN
