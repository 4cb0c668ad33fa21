"""Parts of a data set by patient, each with its share of every class.

Images of one patient are much alike: a network tested on a patient of
its training set would be tested on images that it almost knows.
"""

import numpy as np

from ums.checks import check_fraction, check_integer
from ums.data.checks import check_labels


def stratified_folds(
    labels: np.ndarray, patients: np.ndarray, k: int, rng: np.random.Generator
) -> np.ndarray:
    """Divide N images among k folds, by patient and by class.

    All images of a patient are in one fold and every fold has every class. Where each patient has
    one class, the folds differ in a class by no more than the images of its largest patient: by one,
    where each has one image. Where patients have several classes the folds are about as even,
    without that guarantee. The result does not depend on the order of the rows.

    ``labels`` are integers (N,), ``patients`` names (N,). Returns fold numbers 0..k - 1 (N,).

    Raises:
        ValueError: There are fewer than 2 folds, or fewer patients of a class than folds, or the arrays
            do not fit; or a fold has no image of a class, since patients have several classes.
    """
    check_integer("k", k, least=2)
    counts, patient_of_row, classes = _class_counts(labels, patients)
    having = np.count_nonzero(counts, axis=0)
    if (having < k).any():
        c = having.argmin()
        raise ValueError(f"class {classes[c]} has {having[c]} patients, too few for {k} folds")
    fold = _share_out(counts, np.full(k, 1 / k), rng)
    for i, c in _lacking(fold, counts, k):
        raise ValueError(
            f"fold {i} came out without class {classes[c]}, whose patients have other classes too; "
            "try another seed or fewer folds"
        )
    return np.asarray(fold[patient_of_row])


def stratified_split(
    labels: np.ndarray, patients: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Divide N images into two parts, such as training and validation; rows in ascending order.

    The second part has about ``share`` of the images, chosen as the folds of :func:`stratified_folds`
    are: whole patients, every class in its proportion.

    Raises:
        ValueError: A class has too few patients for two parts, or the arrays do not fit.
    """
    check_fraction("the share", share)
    counts, patient_of_row, classes = _class_counts(labels, patients)
    part = _share_out(counts, np.array([1 - share, share]), rng)
    for i, c in _lacking(part, counts, 2):
        raise ValueError(
            f"part {i + 1} of 2, in shares {1 - share:g} and {share:g}, has no patient of class "
            f"{classes[c]}, of {np.count_nonzero(counts[:, c])}"
        )
    of_row = part[patient_of_row]
    return np.flatnonzero(of_row == 0), np.flatnonzero(of_row == 1)


def _class_counts(
    labels: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of each patient and class (P, C), the patient number of each row (N,), classes (C,)."""
    labels, patients = np.asarray(labels), np.asarray(patients)
    if labels.shape != patients.shape or labels.ndim != 1 or not len(labels):
        shapes = f"{labels.shape} and {patients.shape}"
        raise ValueError(f"labels and patients must be (N,) with N > 0, got {shapes}")
    check_labels(labels)
    classes, class_of_row = np.unique(labels, return_inverse=True)
    names, patient_of_row = np.unique(patients, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (patient_of_row, class_of_row), 1)
    return counts, patient_of_row, classes


def _share_out(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Assign each of P patients with ``counts`` (P, C) images to a part; return part numbers (P,).

    The parts should have ``shares`` (S,), which sum to 1, of every class. With x_sc the share that part
    s has of class c, sum_sc x_sc^2 / share_s is smallest where x_sc = share_s for all c; each patient
    goes where that sum grows least, the largest first, equal ones in random order.
    """
    totals = counts.sum(axis=0)
    part = np.empty(len(counts), np.int64)
    filled = np.zeros((len(shares), len(totals)), np.int64)
    order = rng.permutation(len(counts))
    for p in order[np.argsort(-(counts[order] / totals).sum(axis=1), kind="stable")]:
        growth = (counts[p] * (2 * filled + counts[p]) / totals**2).sum(axis=1) / shares
        # Of parts with equal growth, take the smallest: other classes may have made one larger.
        s = np.lexsort((filled.sum(axis=1) / shares, growth))[0]
        part[p] = s
        filled[s] += counts[p]
    return part


def _lacking(part: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """The numbers (part, class) of all of n parts without an image of a class."""
    return np.argwhere([counts[part == s].sum(axis=0) == 0 for s in range(n)])
