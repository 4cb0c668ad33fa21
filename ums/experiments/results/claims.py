"""Claims on which strategy scores higher, and what measured differences say of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

SIGNIFICANT = 0.05
"""The paper's level."""


class Verdict(str, Enum):
    """What our measurements say of a claim; on the page with a mark and a colour."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "not distinguishable here"

    @property
    def mark(self):
        """Return the sign that says the same without colour."""
        return {"HOLDS": "✓", "FAILS": "✗", "OPEN": "≈"}[self.name]


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
