"""Folds by patient and class, and two parts such as training and validation."""

from collections import Counter

import numpy as np
import pytest

from ums.data import stratified_folds, stratified_split


def seeded(seed=0):
    return np.random.default_rng(seed)


def study(seed, n=120, classes=3, mixed=0.2):
    """Labels and patients of n patients with one to nine images; some have several classes."""
    rng = seeded(seed)
    labels, patients = [], []
    for p in range(n):
        size = min(1 + rng.geometric(0.5), 9)
        several = rng.random() < mixed
        own = rng.integers(classes, size=size) if several else np.full(size, p % classes)
        labels += own.tolist()
        patients += [f"p{p:03d}"] * size
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(patients)[order]


def table(folds, labels, k):
    """Images per fold and class, (k, C)."""
    return np.array([np.bincount(labels[folds == f], minlength=labels.max() + 1) for f in range(k)])


def sides(patients, *parts):
    """How many parts each patient is in, at most."""
    return max(Counter(p for part in parts for p in set(patients[part].tolist())).values())


# ---------------------------------------------------------------------------- folds


def test_hand_worked_folds():
    # The largest first: a (3) alone, then b (2) and c (1) opposite; class 1: one each.
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    patients = np.array(list("aaabbcde"))
    folds = stratified_folds(labels, patients, 2, seeded())
    assert folds[:3].tolist() == [0, 0, 0] and folds[3:6].tolist() == [1, 1, 1]
    assert sorted(folds[6:]) == [0, 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mixed", [0, 0.3, 1])
def test_no_patient_is_in_two_folds_and_every_fold_has_every_class(seed, mixed):
    labels, patients = study(seed, mixed=mixed)
    folds = stratified_folds(labels, patients, 10, seeded(seed))
    assert folds.shape == labels.shape and set(folds.tolist()) == set(range(10))
    assert sides(patients, *(folds == f for f in range(10))) == 1
    assert table(folds, labels, 10).min() > 0


@pytest.mark.parametrize(("n", "k"), [(20, 2), (63, 5), (101, 10)])
def test_folds_of_single_images_differ_by_one_in_a_class(n, k):
    labels = seeded(n).integers(2, size=n)
    counts = table(stratified_folds(labels, np.arange(n), k, seeded()), labels, k)
    assert np.ptp(counts, axis=0).max() <= 1 and np.ptp(counts.sum(axis=1)) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_folds_differ_in_a_class_by_its_largest_patient_at_most(seed):
    labels, patients = study(seed, mixed=0)
    counts = table(stratified_folds(labels, patients, 7, seeded(seed)), labels, 7)
    for c in range(3):
        largest = max(Counter(patients[labels == c].tolist()).values())
        assert np.ptp(counts[:, c]) <= largest


@pytest.mark.parametrize("seed", range(5))
def test_folds_of_patients_with_several_classes_are_even_to_a_few_images(seed):
    labels, patients = study(seed, mixed=0.4)
    counts = table(stratified_folds(labels, patients, 5, seeded(seed)), labels, 5)
    assert np.ptp(counts, axis=0).max() <= 3


def test_a_rare_class_is_spread_among_a_frequent_one():
    labels, patients = np.repeat([0, 1], [500, 10]), np.arange(510)
    counts = table(stratified_folds(labels, patients, 10, seeded()), labels, 10)
    assert (counts == [50, 1]).all()


def test_a_rare_class_weighs_as_much_as_a_frequent_one():
    # b and c have the five images of class 1. c's other images would be better off without a's.
    patients = np.array(list("a" * 50 + "bbb" + "c" * 7 + "defgh"))
    labels = np.array([0] * 50 + [1] * 5 + [0] * 10)
    folds = stratified_folds(labels, patients, 2, seeded())
    assert folds[patients == "b"][0] != folds[patients == "c"][0] == folds[patients == "a"][0]


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows():
    labels, patients = study(0)
    folds = stratified_folds(labels, patients, 5, seeded(1))
    order = seeded(9).permutation(len(labels))
    np.testing.assert_array_equal(stratified_folds(labels, patients, 5, seeded(1)), folds)
    again = stratified_folds(labels[order], patients[order], 5, seeded(1))
    np.testing.assert_array_equal(again, folds[order])
    assert (stratified_folds(labels, patients, 5, seeded(2)) != folds).any()


def test_fewer_patients_of_a_class_than_folds_are_refused():
    labels, patients = np.repeat([0, 4], [30, 30]), np.r_[np.arange(30), np.arange(30) % 4 + 100]
    with pytest.raises(ValueError, match="class 4 has 4 patients, too few for 5 folds"):
        stratified_folds(labels, patients, 5, seeded())
    assert len(stratified_folds(labels, patients, 4, seeded())) == 60


def test_a_fold_without_a_class_is_refused():
    # Of three patients with two of three classes each, one is alone, and lacks the third class.
    labels, patients = np.array([0, 1, 1, 2, 2, 0]), np.array(list("aabbcc"))
    with pytest.raises(ValueError, match=r"came out without class .*fewer folds"):
        stratified_folds(labels, patients, 2, seeded())


@pytest.mark.parametrize("k", [1, 0, -3, 2.0, 2.5])
def test_anything_but_two_or_more_folds_is_refused(k):
    with pytest.raises(ValueError, match=f"^k must be .*, got {k}"):
        stratified_folds(np.zeros(4, int), np.arange(4), k, seeded())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), r"\(3,\) and \(4,\)"),
        (np.array([0, 1, -1, 1]), "labels must be classes from 0, got -1"),
        (np.zeros(4), "float64"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        stratified_folds(labels, np.arange(4), 2, seeded())


def test_no_image_is_refused():
    with pytest.raises(ValueError, match=r"got \(0,\) and \(0,\)"):
        stratified_folds(np.zeros(0, int), np.zeros(0, str), 2, seeded())


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_as_even_as_those_of_scikit_learn(seed):
    selection = pytest.importorskip("sklearn.model_selection")
    labels, patients = study(seed, mixed=0.3)
    theirs = np.empty(len(labels), int)
    split = selection.StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for f, (_, rows) in enumerate(split.split(labels, labels, patients)):
        theirs[rows] = f
    ours = stratified_folds(labels, patients, 5, seeded(seed))
    spread = [table(folds, labels, 5).std(axis=0).mean() for folds in (ours, theirs)]
    assert spread[0] <= spread[1] + 0.5


# ---------------------------------------------------------------------------- two parts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_two_parts_have_all_rows_in_order_and_no_patient_is_in_both(seed, share):
    labels, patients = study(seed)
    parts = stratified_split(labels, patients, share, seeded(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert sides(patients, *parts) == 1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_second_part_has_its_share_of_every_class(share):
    labels, patients = study(3, n=300)
    _, second = stratified_split(labels, patients, share, seeded())
    np.testing.assert_allclose(np.bincount(labels[second]), share * np.bincount(labels), atol=4)


def test_second_part_of_single_images_is_the_rounded_share():
    labels = np.repeat([0, 1], [80, 40])
    _, second = stratified_split(labels, np.arange(120), 0.2, seeded())
    assert np.bincount(labels[second]).tolist() == [16, 8]


def test_two_parts_depend_on_the_seed_and_not_on_the_order_of_rows():
    labels, patients = study(0)
    one, same, other = (
        stratified_split(labels, patients, 0.2, seeded(s))[1].tolist() for s in (1, 1, 2)
    )
    assert one == same != other
    order = seeded(9).permutation(len(labels))
    again = stratified_split(labels[order], patients[order], 0.2, seeded(1))[1]
    assert sorted(order[again].tolist()) == one


@pytest.mark.parametrize(("share", "part"), [(0.01, "part 2"), (0.99, "part 1")])
def test_a_class_that_cannot_be_in_both_parts_is_named(share, part):
    labels = np.repeat([0, 1], [200, 4])
    with pytest.raises(ValueError, match=f"^{part} of 2, .* has no patient of class 1, of 4"):
        stratified_split(labels, np.arange(204), share, seeded())


@pytest.mark.parametrize(
    ("patients", "share", "message"),
    [(4, 0.0, "share must be between 0 and 1, got 0.0"), (4, 1.0, "got 1.0"),
     (3, 0.5, r"\(4,\) and \(3,\)")],
)  # fmt: skip
def test_two_parts_that_cannot_be_are_refused(patients, share, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(np.array([0, 1, 0, 1]), np.arange(patients), share, seeded())
