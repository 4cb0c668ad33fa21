"""Scores by sub-group."""

import numpy as np
import pytest

from ums.metrics import roc_auc
from ums.metrics.subgroups import age_groups, by_group


def test_each_group_is_scored_by_its_own_cases():
    groups = np.array(["m", "f", "m", "f", "", "m"])
    scores = np.array([0.1, 0.5, 0.2, 0.7, 9.0, 0.6])
    found = by_group(np.mean, [scores], groups, np.random.default_rng(0))
    assert {name: group[:2] for name, group in found.items()} == {"f": (2, 0.6), "m": (3, 0.3)}
    assert found["m"].interval.low < 0.3 < found["m"].interval.high <= 0.6


def test_measures_of_labels_and_scores_can_be_split():
    labels, scores = np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 4.0, 3.0])
    found = by_group(roc_auc, [labels, scores], np.array(list("aabb")), np.random.default_rng(0))
    assert [found[name].score for name in "ab"] == [1, 0]


def test_whole_patients_of_a_group_are_resampled():
    """Two patients, one of whom has 9 of the 10 images: bounds are those of either alone."""
    scores, patients = np.array([1.0] + [0.0] * 9), np.array(["a"] + ["b"] * 9)
    groups = np.full(10, "all")
    by_patient = by_group(np.mean, [scores], groups, np.random.default_rng(0), patients)
    assert by_patient["all"].interval == (0, 1)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"2 groups for \[3\] cases"):
        by_group(np.mean, [np.ones(3)], np.array(["a", "b"]), np.random.default_rng(0))


def test_ages_fall_into_groups_by_their_first_year():
    ages = np.array([-1, 0, 17, 18, 39, 40, 60, 101])
    expected = ["", "0-17", "0-17", "18-39", "18-39", "40-59", "60+", "60+"]
    assert age_groups(ages).tolist() == expected
    assert age_groups(ages[-2:], (65,)).tolist() == ["0-64", "65+"]
