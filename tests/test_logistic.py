"""The logistic regression against scikit-learn's and against equations solved by hand."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from ums.logistic import fit_logistic


def cases(n=200, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, (rng.random(n) < expit(x @ [1.0, -2.0, 0.0] + 0.5)).astype(int)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_fit_is_that_of_scikit_learn(penalty):
    linear = pytest.importorskip("sklearn.linear_model")
    x, labels = cases()
    reference = linear.LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10).fit(x, labels)
    fitted = fit_logistic(x, labels, penalty)
    np.testing.assert_allclose(fitted.weights, reference.coef_[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.logits(x), reference.decision_function(x), atol=1e-4)


def test_bias_alone_is_the_log_odds_of_the_share():
    fitted = fit_logistic(np.empty((10, 0)), np.arange(10) < 3, 0.0)
    assert fitted.bias == pytest.approx(np.log(3 / 7), rel=1e-6) and fitted.weights.shape == (0,)


def test_an_offset_is_part_of_the_logits():
    x, labels = cases()
    z = x[:, 0]
    expected = brentq(lambda b: expit(z + b).sum() - labels.sum(), -5, 5)
    assert fit_logistic(x[:, :0], labels, 0.0, z).bias == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones(200)}, r"features \(N, D\), labels \(N,\), got \(200,\)"),
        ({"x": np.full((200, 1), np.nan)}, "finite features"),
        ({"labels": np.ones(200, int)}, r"both of them, got \[1\]"),
        ({"penalty": -1.0}, "at least 0, got -1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    x, labels = cases()
    with pytest.raises(ValueError, match=message):
        fit_logistic(**{"x": x, "labels": labels, "penalty": 0.1} | change)
