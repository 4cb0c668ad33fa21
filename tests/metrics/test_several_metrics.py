"""Measures of numbers, several labels and masks of several classes, against scikit-learn's."""

import numpy as np
import pytest

from ums.metrics import roc_auc, segmentation
from ums.metrics.several import average_precision, by_class, by_label, errors

sklearn = pytest.importorskip("sklearn.metrics")


def test_errors_of_known_numbers_equal_those_of_scikit_learn(rng):
    t, y = rng.normal(40, 9, 30), rng.normal(40, 9, 30)
    theirs = [
        f(t[3:], y[3:])
        for f in (sklearn.mean_absolute_error, sklearn.root_mean_squared_error, sklearn.r2_score)
    ]
    t[:3] = np.nan
    np.testing.assert_allclose(errors(t, y), theirs, rtol=1e-12)


def test_errors_worked_by_hand():
    found = errors(np.array([0.0, 2, 4]), np.array([0.0, 2, 7]))
    assert (found.mae, found.rmse, found.r2) == pytest.approx((1, 3**0.5, 1 - 9 / 8))
    assert np.isnan(errors(np.full(3, 0.1), np.arange(3)).r2)


@pytest.mark.parametrize(
    ("targets", "predictions"),
    [([1.0, 2], [1.0]), ([np.nan] * 2, [1.0, 2]), ([1.0, 2], [1.0, np.nan]), ([[1.0]], [[1.0]])],
)
def test_what_has_no_error_is_refused_with_both_shapes(targets, predictions):
    with pytest.raises(ValueError, match=r"some are known, .*\(N,\), got \("):
        errors(np.array(targets), np.array(predictions))


@pytest.mark.parametrize("levels", [3, 1000])  # many equal scores, and none
def test_average_precision_equals_that_of_scikit_learn(levels, rng):
    labels, scores = rng.integers(2, size=50), rng.integers(levels, size=50) / levels
    expected = sklearn.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, rel=1e-12)


def test_average_precision_by_hand_and_without_a_finding():
    assert average_precision(np.array([1, 0, 1]), np.array([3.0, 2, 1])) == pytest.approx(5 / 6)
    assert np.isnan(average_precision(np.zeros(3, int), np.arange(3)))


@pytest.mark.parametrize(
    ("measure", "theirs"),
    [(roc_auc, sklearn.roc_auc_score), (average_precision, sklearn.average_precision_score)],
)
def test_each_label_is_measured_where_it_is_known(measure, theirs, rng):
    labels, scores = rng.integers(2, size=(40, 3)).astype(float), rng.normal(size=(40, 3))
    expected = [theirs(labels[k:, k], scores[k:, k]) for k in range(3)]
    for k in range(3):
        labels[:k, k] = np.nan
    np.testing.assert_allclose(by_label(measure, labels, scores), expected, rtol=1e-12)


def test_label_that_is_never_known_has_no_measure():
    found = by_label(roc_auc, np.array([[0, np.nan], [1, np.nan]]), np.array([[0.0, 1], [1, 0]]))
    assert found[0] == 1 and np.isnan(found[1])


def test_by_label_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(N, K\), got \(4, 2\) and \(4, 3\)"):
        by_label(roc_auc, np.zeros((4, 2)), np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("measure", "theirs"),
    [(segmentation.iou, sklearn.jaccard_score), (segmentation.f_score, sklearn.f1_score)],
)
def test_each_class_of_masks_equals_scikit_learn(measure, theirs, rng):
    target, prediction = rng.integers(0, 3, (2, 4, 6, 5), np.uint8)
    target[0][target[0] == 2] = prediction[0][prediction[0] == 2] = 0  # no class 2: right
    pairs = list(zip(target.reshape(4, -1), prediction.reshape(4, -1), strict=True))
    each = [theirs(t, p, labels=[0, 1, 2], average=None, zero_division=1) for t, p in pairs]
    found = by_class(measure, target, prediction, 3)
    np.testing.assert_allclose(found, np.transpose(each), rtol=1e-12)
    np.testing.assert_allclose(by_class(measure, target[1], prediction[1], 3), found[:, 1])


@pytest.mark.parametrize(
    "wrong", [np.full((2, 4, 4), 3), np.full((2, 4, 4), 0.5), np.full((2, 4, 4), -1)]
)
def test_masks_that_are_not_of_the_classes_are_refused(wrong):
    right = np.zeros((2, 4, 4), int)
    with pytest.raises(ValueError, match=r"target must be classes in 0..2, got"):
        by_class(segmentation.iou, wrong, right, 3)
    with pytest.raises(ValueError, match=r"prediction must be classes in 0..2, got"):
        by_class(segmentation.iou, right, wrong, 3)
