"""Splits by patient."""

import numpy as np
import pytest

from data_prep.splits import FRACTIONS, split_by_patient


def split(patients, fractions=FRACTIONS, seed=0):
    return split_by_patient(patients, fractions, np.random.default_rng(seed))


def test_no_patient_is_on_two_sides():
    patients = np.random.default_rng(0).integers(0, 40, 300).astype(str)
    sides = split(patients)
    assert all(len(set(sides[patients == p])) == 1 for p in set(patients))


def test_100_patients_give_70_20_10():
    sides = split([f"p{i}" for i in range(100)])
    assert [np.sum(sides == s) for s in ("train", "validation", "test")] == [70, 20, 10]


def test_the_order_of_the_rows_does_not_matter():
    patients = np.array([f"p{i % 20}" for i in range(60)])
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_array_equal(split(patients)[order], split(patients[order]))


def test_another_seed_gives_another_split():
    patients = [f"p{i}" for i in range(30)]
    assert (split(patients, seed=0) != split(patients, seed=1)).any()


@pytest.mark.parametrize("n", [3, 4, 5, 9])
def test_few_patients_leave_no_set_empty(n):
    assert set(split([str(i) for i in range(n)])) == {"train", "validation", "test"}


def test_a_fraction_of_0_stays_empty():
    assert set(split([str(i) for i in range(9)], (0.8, 0.2, 0.0))) == {"train", "validation"}


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(ValueError, match="sum to 1"):
        split(["a", "b", "c"], fractions)


def test_no_patient_is_refused():
    with pytest.raises(ValueError, match="no patient"):
        split([])
