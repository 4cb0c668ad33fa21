"""Measures of numbers against scikit-learn's, and cases worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from ums.metrics import regression

OURS = {
    regression.mean_absolute_error: mean_absolute_error,
    regression.root_mean_square_error: root_mean_squared_error,
    regression.r_squared: r2_score,
}


@pytest.mark.parametrize("measure", OURS)
def test_measure_of_known_numbers_equals_that_of_scikit_learn(measure, rng):
    targets, predictions = rng.normal(40, 9, 30), rng.normal(40, 9, 30)
    expected = OURS[measure](targets[3:], predictions[3:])
    targets[:3] = np.nan
    assert measure(targets, predictions) == pytest.approx(expected, rel=1e-12)


def test_worked_by_hand():
    targets, predictions = np.array([0.0, 2, 4]), np.array([0.0, 2, 7])
    assert regression.mean_absolute_error(targets, predictions) == 1
    assert regression.root_mean_square_error(targets, predictions) == pytest.approx(3**0.5)
    assert regression.r_squared(targets, predictions) == pytest.approx(1 - 9 / 8)


def test_equal_targets_have_no_r_squared():
    assert np.isnan(regression.r_squared(np.full(3, 0.1), np.arange(3)))


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([1.0, 2], [1.0], r"\(2,\) targets for \(1,\) predictions"),
        ([np.nan] * 2, [1.0, 2], "no target is known"),
        ([1.0, 2], [1.0, np.nan], "predictions must be finite"),
        ([[1.0, 2]], [[1.0, 2]], r"targets must be a non-empty array \(N,\)"),
    ],
)
@pytest.mark.parametrize("measure", OURS)
def test_what_has_no_error_is_refused(measure, targets, predictions, message):
    with pytest.raises(ValueError, match=message):
        measure(np.array(targets), np.array(predictions))
