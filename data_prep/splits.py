"""Training, validation and test sets by patient (UMS-Rep, section 3.1.1: 70, 20 and 10 %)."""

import numpy as np

from ums.data.prepared import SPLITS

FRACTIONS = (0.7, 0.2, 0.1)


def split_by_patient(patients, fractions, rng):
    """Return for each of N rows "train", "validation" or "test", (N,) strings.

    All rows of a patient fall on one side. `fractions` are shares of the patients, in the order
    above, and sum to 1; what rounding leaves goes to the largest remainders, and from three
    patients on no wanted set stays empty. The result depends on the set of patients and on `rng`,
    not on the order of the rows. Raises `ValueError` for no patient or other fractions.
    """
    fractions = np.asarray(fractions, dtype=float)
    if fractions.shape != (3,) or fractions.min() < 0 or abs(fractions.sum() - 1) > 1e-9:
        raise ValueError(f"fractions should be three shares that sum to 1, found {fractions}")
    if len(patients) == 0:
        raise ValueError("no patient to split")
    unique, row_to_patient = np.unique(np.asarray(patients), return_inverse=True)
    sides = np.repeat(SPLITS, _shares(len(unique), fractions))
    return rng.permutation(sides)[row_to_patient]


def _shares(n, fractions):
    """Whole numbers that sum to n, near n * fractions."""
    wanted = n * fractions
    counts = np.floor(wanted + 1e-9).astype(int)
    remainders = np.round(wanted - counts, 9)
    counts[np.argsort(-remainders, kind="stable")[: n - counts.sum()]] += 1
    for i in np.flatnonzero((counts == 0) & (fractions > 0)):
        if counts.max() > 1 and n >= 3:
            counts[counts.argmax()] -= 1
            counts[i] = 1
    return counts
