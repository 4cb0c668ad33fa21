"""Brier score and calibration, by hand, against scikit-learn and statsmodels."""

import numpy as np
import pytest
from scipy.special import expit

from ums.metrics.calibration import brier, calibration


def drawn(true, n=4000, seed=0):
    """Log odds, and labels that follow ``true(log odds)``."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) * 2
    return (rng.random(n) < expit(true(z))).astype(int), z


def test_brier_score_of_three_cases_by_hand():
    assert brier([1, 0, 1], [0.8, 0.4, 0.5]) == pytest.approx((0.04 + 0.16 + 0.25) / 3)


def test_brier_score_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, z = drawn(lambda z: z / 2)
    expected = metrics.brier_score_loss(labels, expit(z))
    assert brier(labels, expit(z)) == pytest.approx(expected)


@pytest.mark.parametrize("true", [lambda z: z, lambda z: z - 1.5, lambda z: z / 3 + 0.2])
def test_intercept_and_slope_are_those_of_a_binomial_model(true):
    models = pytest.importorskip("statsmodels.api")
    labels, z = drawn(true)
    binomial, ones = models.families.Binomial(), np.ones((len(z), 1))
    intercept = models.GLM(labels, ones, binomial, offset=z).fit().params[0]
    slope = models.GLM(labels, np.column_stack([ones, z]), binomial).fit().params[1]
    np.testing.assert_allclose(calibration(labels, z), (intercept, slope), rtol=1e-4, atol=1e-5)


def test_shifted_and_stretched_log_odds_are_recognised():
    intercept, slope = calibration(*drawn(lambda z: z - 1))
    assert intercept == pytest.approx(-1, abs=0.1) and slope == pytest.approx(1, abs=0.1)
    assert calibration(*drawn(lambda z: z / 4)).slope == pytest.approx(1 / 4, abs=0.05)


def test_slope_does_not_depend_on_the_unit_of_the_logits():
    labels, z = drawn(lambda z: z)
    assert calibration(labels, 1e4 * z).slope * 1e4 == pytest.approx(
        calibration(labels, z).slope, rel=1e-5
    )


@pytest.mark.parametrize(
    ("labels", "logits", "slope"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], np.inf),
        ([0, 0, 1, 1], [1, 2, 2, 4], np.inf),
        ([1, 1, 0, 0], [1, 2, 3, 4], -np.inf),
        ([0, 1, 0, 1], [2, 2, 2, 2], np.nan),
        ([1, 1], [1, 2], np.nan),
    ],
)
def test_slope_where_no_finite_one_exists(labels, logits, slope):
    np.testing.assert_equal(calibration(labels, np.array(logits, float)).slope, slope)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 0.5 to 1.5"):
        brier([0, 1], [0.5, 1.5])
