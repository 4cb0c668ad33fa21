"""Whether measured differences support a claim on which strategy scores higher."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

SIGNIFICANT = 0.05
"""The paper's level."""


class Verdict(str, Enum):
    """Whether our measurements support a claim; on the page with a mark and a colour."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "not distinguishable here"

    @property
    def mark(self) -> str:
        """The sign that says the same without colour."""
        return {"HOLDS": "✓", "FAILS": "✗", "OPEN": "≈"}[self.name]


def verdict(differences: Sequence[float], statistic: float, p_value: float) -> Verdict:
    """The verdict on a claim, from the folds' differences "better less worse" and a test of the cases.

    Test cases cannot show whether another training would come out the same, and a test of right answers
    may favour a strategy with the lower MCC. The claim therefore stays open where the folds and the test's
    statistic disagree on the sign, however small the corrected p-value is.
    """
    signs = set(np.sign([*differences, statistic]))
    if p_value < SIGNIFICANT and signs in ({1}, {-1}):
        return Verdict.HOLDS if signs == {1} else Verdict.FAILS
    return Verdict.OPEN
