"""The paper's claims on the chest X-ray, each to be put beside what was measured (section 4.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ums.experiments.cxr_sets import ABNORMALITY, DIVERSE, LUNGS, PAIRS, SIMILAR
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


_BOTH = (LUNGS, ABNORMALITY)
_PAIRS = tuple(f"{positive}-{negative}" for positive, negative in PAIRS)
_TABLE_3, _TABLE_5 = "Table 3", "Table 5"

CLAIMS = (
    Claim(DIVERSE, "independent", "alternating", _BOTH, f"{_TABLE_3}, said not to be significant"),
    Claim(DIVERSE, "independent", "joint", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "joint", _BOTH, _TABLE_3),
    Claim(DIVERSE, "independent", "separate", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "separate", _BOTH, _TABLE_3),
    Claim(DIVERSE, "joint", "separate", (ABNORMALITY,), _TABLE_3),
    Claim(DIVERSE, "separate", "joint", (LUNGS,), f"{_TABLE_3} (IoU), laid to negative transfer"),
    Claim(SIMILAR, "joint", "alternating", _PAIRS[1:], f"{_TABLE_5}, in most cases"),
    Claim(SIMILAR, "alternating", "joint", _PAIRS[:1], f"{_TABLE_5}, the other case"),
    Claim(
        SIMILAR,
        "joint",
        "independent",
        _PAIRS,
        f"{_TABLE_5}, significant but for bacterial vs normal",
    ),
    Claim(SIMILAR, "alternating", "independent", _PAIRS, _TABLE_5),
    Claim(SIMILAR, "joint", "separate", _PAIRS, f"{_TABLE_5}, said to be significant"),
    Claim(SIMILAR, "alternating", "separate", _PAIRS, _TABLE_5),
    Claim(SIMILAR, "independent", "separate", _PAIRS, _TABLE_5),
)


def verdict(differences: Sequence[float], p_value: float) -> Verdict:
    """What differences, better less worse, of each fold say of a claim, with its corrected p-value.

    Test cases cannot tell whether another training would come out the same: the claim stays open
    where the folds do not agree on the sign, however small p is.
    """
    signs = set(np.sign(differences))
    if p_value < SIGNIFICANT and signs in ({1}, {-1}):
        return Verdict.HOLDS if signs == {1} else Verdict.FAILS
    return Verdict.OPEN
