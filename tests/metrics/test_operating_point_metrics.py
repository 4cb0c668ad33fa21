"""Thresholds set on one set and used on another."""

import numpy as np
import pytest

from ums.metrics.operating_point import at_threshold, threshold_for

LABELS = np.array([0, 0, 1, 0, 1, 1])
SCORES = np.array([1.0, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("sensitivity", "threshold"), [(None, 5), (1.0, 3), (0.67, 3), (2 / 3, 5), (0.3, 6)]
)
def test_threshold_of_six_hand_counted_cases(sensitivity, threshold):
    assert threshold_for(LABELS, SCORES, sensitivity) == threshold


def test_thresholds_are_those_of_the_roc_curve():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=300)
    scores = np.round(labels + rng.normal(size=300), 1)  # with ties
    false, found, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert threshold_for(labels, scores) == thresholds[np.argmax(found - false)]
    assert threshold_for(labels, scores, 0.9) == thresholds[np.argmax(found >= 0.9)]


def test_shares_at_a_threshold_from_elsewhere():
    assert at_threshold(LABELS, SCORES, 3.0) == pytest.approx((3.0, 1.0, 2 / 3, 4 / 6))
    assert at_threshold(LABELS, SCORES, 4.5) == pytest.approx((4.5, 2 / 3, 1.0, 2 / 6))
    assert np.isnan(at_threshold([0, 0], [1, 2], 1.5).sensitivity)
    assert np.isnan(at_threshold([1, 1], [1, 2], 1.5).specificity)


@pytest.mark.parametrize("sensitivity", [0, 1.1])
def test_impossible_sensitivities_are_refused(sensitivity):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        threshold_for(LABELS, SCORES, sensitivity)


def test_one_class_sets_no_threshold():
    with pytest.raises(ValueError, match="both classes"):
        threshold_for([1, 1], [0.0, 1.0])
