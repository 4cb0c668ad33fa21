"""Batch normalisation: what it computes, and when its statistics move."""

import numpy as np
import pytest

from ums.ops import batchnorm_backward, batchnorm_forward
from ums.ops.fast import threads
from ums.ops.norm import batchnorm_backward_plain, batchnorm_forward_plain

X = np.array([[1.0, 10], [3, 10], [5, 40], [7, 40]])  # means 4 and 25, variances 5 and 225


def norm(x, training, mean=0.0, var=1.0, **settings):
    C = x.shape[-1]
    statistics = np.full(C, mean, x.dtype), np.full(C, var, x.dtype)
    ones = np.ones(C, x.dtype)
    return *batchnorm_forward(x, ones, 0 * ones, *statistics, training, **settings), *statistics


def test_training_gives_mean_0_and_variance_1_per_channel(rng):
    x = 5 + 3 * rng.normal(size=(4, 6, 5, 3)) * [1, 2, 3]
    y = norm(x, True, eps=0)[0]
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-12)


def test_training_worked_by_hand():
    y, _, mean, var = norm(X, True, momentum=0.9, eps=0.0)
    np.testing.assert_allclose(y[:, 0], np.array([-3, -1, 1, 3]) / np.sqrt(5))
    np.testing.assert_allclose(y[:, 1], [-1, -1, 1, 1])
    np.testing.assert_allclose(mean, [0.1 * 4, 0.1 * 25])
    np.testing.assert_allclose(var, [0.9 + 0.1 * 5, 0.9 + 0.1 * 225])


def test_inference_worked_by_hand():
    y = norm(X, False, mean=4, var=4, eps=0.0)[0]
    np.testing.assert_allclose(y[:, 0], [-1.5, -0.5, 0.5, 1.5])


def test_gamma_and_beta_scale_and_shift_each_channel():
    gamma, beta = np.array([2.0, -1]), np.array([10.0, 20])
    y, _ = batchnorm_forward(X, gamma, beta, np.zeros(2), np.ones(2), True, eps=0.0)
    np.testing.assert_allclose(y[:, 1], [21, 21, 19, 19])
    np.testing.assert_allclose(y.mean(axis=0), beta)


def test_inference_leaves_the_statistics_to_the_byte():
    _, _, mean, var = norm(X.astype(np.float32), False, mean=0.1, var=0.3)
    assert mean.tobytes() == np.full(2, 0.1, np.float32).tobytes()
    assert var.tobytes() == np.full(2, 0.3, np.float32).tobytes()


@pytest.mark.parametrize(("momentum", "expected"), [(0.0, 4), (1.0, 0), (0.5, 2)])
def test_momentum_is_the_share_of_the_old_value_kept(momentum, expected):
    mean = norm(X, True, momentum=momentum)[2]
    assert mean[0] == pytest.approx(expected)


def test_running_statistics_settle_at_those_of_the_data(rng):
    mean, var = np.zeros(3), np.ones(3)
    x = rng.normal(size=(50, 3)) * [1, 2, 3] + [4, 5, 6]
    for _ in range(200):
        batchnorm_forward(x, np.ones(3), np.zeros(3), mean, var, True)
    np.testing.assert_allclose(mean, x.mean(axis=0))
    np.testing.assert_allclose(var, x.var(axis=0))


def test_training_gradient_is_orthogonal_to_shift_and_scale_of_the_input(rng):
    x, dy = rng.normal(size=(2, 20, 4))
    y, cache, *_ = norm(x, True, eps=0.0)
    dx, dgamma, dbeta = batchnorm_backward(dy, cache)
    np.testing.assert_allclose(dx.sum(axis=0), 0, atol=1e-12)  # y does not change with x + c
    np.testing.assert_allclose((dx * x).sum(axis=0), 0, atol=1e-12)  # nor with c x
    np.testing.assert_allclose(dgamma, (dy * y).sum(axis=0))
    np.testing.assert_allclose(dbeta, dy.sum(axis=0))


def test_constant_channel_stays_finite():
    y, cache, *_ = norm(np.full((4, 2), 3.0), True)
    assert not y.any()
    assert np.isfinite(batchnorm_backward(np.ones((4, 2)), cache)[0]).all()


def test_input_is_left_as_it_was(rng):
    x = rng.normal(size=(5, 3))
    kept = x.copy()
    norm(x, True), norm(x, False)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("wrong", ["gamma", "beta", "running_mean", "running_var"])
def test_batchnorm_names_the_parameter_that_does_not_fit(wrong):
    names = ["gamma", "beta", "running_mean", "running_var"]
    shapes = {name: 5 if name == wrong else 3 for name in names}
    with pytest.raises(ValueError, match=rf"{wrong} must be \(3,\) for x \(4, 3\), got \(5,\)"):
        batchnorm_forward(np.ones((4, 3)), *(np.ones(n) for n in shapes.values()), False)


def test_training_on_one_value_per_channel_is_refused():
    with pytest.raises(ValueError, match=r"more than one value per channel, got \(1, 3\)"):
        norm(np.ones((1, 3)), True)
    norm(np.ones((1, 3)), False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tile_bytes", [64, 3 << 20])
def test_fast_form_equals_its_formula(training, tile_bytes, rng, monkeypatch):
    monkeypatch.setattr(threads, "TILE_BYTES", tile_bytes)
    x, dy = 7 + rng.normal(size=(2, 3, 5, 6, 4))
    arguments = [*rng.uniform(0.5, 2, size=(2, 4)), np.full(4, 7.0), np.full(4, 2.0)]
    fast, plain = ([a.copy() for a in arguments] for _ in range(2))
    y, cache = batchnorm_forward(x, *fast, training)
    y_plain, cache_plain = batchnorm_forward_plain(x, *plain, training)
    expected = y_plain, *batchnorm_backward_plain(dy, cache_plain), *plain
    for ours, theirs in zip((y, *batchnorm_backward(dy, cache), *fast), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
