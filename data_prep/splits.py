"""Training, validation and test sets by patient (UMS-Rep, section 3.1.1: 70, 20 and 10 %)."""

from collections.abc import Sequence

import numpy as np

from ums.data.prepared import SPLITS

FRACTIONS = (0.7, 0.2, 0.1)


def split_by_patient(
    patients: Sequence[str] | np.ndarray, fractions: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Split rows into training, validation and test sets, all rows of a patient into the same.

    The result depends on the set of patients and on ``rng``, not on the order of the rows.

    Args:
        patients: The patient of each of N rows.
        fractions: Fractions of the patients in train, validation and test, which sum to 1. What
            rounding leaves goes to the largest remainders, and from three patients on no set with a
            fraction above 0 stays empty.
        rng: Source of the order.

    Returns:
        "train", "validation" or "test" for each row, (N,) strings.

    Raises:
        ValueError: There is no patient, or the fractions are not three that sum to 1.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or shares.min() < 0 or abs(shares.sum() - 1) > 1e-9:
        raise ValueError(f"fractions should be three that sum to 1, found {shares}")
    if len(patients) == 0:
        raise ValueError("no patient to split")
    unique, row_to_patient = np.unique(np.asarray(patients), return_inverse=True)
    splits = np.repeat(SPLITS, _counts(len(unique), shares))
    shuffled: np.ndarray = rng.permutation(splits)[row_to_patient]
    return shuffled


def _counts(n: int, fractions: np.ndarray) -> np.ndarray:
    """Return whole numbers near ``n * fractions`` that sum to ``n``."""
    wanted = n * fractions
    counts = np.floor(wanted + 1e-9).astype(int)
    remainders = np.round(wanted - counts, 9)
    counts[np.argsort(-remainders, kind="stable")[: n - counts.sum()]] += 1
    for i in np.flatnonzero((counts == 0) & (fractions > 0)):
        if counts.max() > 1 and n >= 3:
            counts[counts.argmax()] -= 1
            counts[i] = 1
    return counts
