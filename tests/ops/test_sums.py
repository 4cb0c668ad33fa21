"""Sums and means over large maps, against the same in float64."""

import numpy as np
import pytest

from ums import ops
from ums.ops.fast.rows import (
    BLOCK,
    add_up,
    along_rows,
    channel_sums,
    column_sums,
    per_channel,
    transposed_product,
)

SIDES = [16, 63, 256, 1024]
LEVEL = np.float32(0.1)
EXACT = float(LEVEL)


def constant(side, C=2):
    return np.full((1, side, side, C), LEVEL)


def striped(side, C=2):
    """0.1 and 1.1 in turns of rows."""
    x = constant(side, C)
    x[:, ::2] += 1
    return x


def error(found, expected):
    assert found.dtype == np.float32
    return float(np.max(abs(found.astype(np.float64) / expected - 1)))


@pytest.mark.parametrize("side", [*SIDES, 2048])
def test_mean_of_a_large_constant_map_is_the_constant(side):
    assert error(ops.global_average_pool_forward(constant(side))[0], EXACT) < 1e-6


@pytest.mark.parametrize("shape", [(3, 700, 500, 3), (1, 1, 500_000, 1), (2, 300_000, 1, 5)])
def test_mean_of_a_random_map_is_that_in_float64(shape, rng):
    x = rng.random(shape, np.float32)
    expected = x.mean(axis=(1, 2), dtype=np.float64)
    assert error(ops.global_average_pool_forward(x)[0], expected) < 1e-6


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[:, ::-1], lambda x: x[..., :1]])
def test_mean_of_a_view_is_that_in_float64(layout, rng):
    x = layout(rng.random((2, 300, 200, 3), np.float32))
    expected = x.mean(axis=(1, 2), dtype=np.float64)
    assert error(ops.global_average_pool_forward(x)[0], expected) < 1e-6


@pytest.mark.parametrize("side", SIDES)
def test_batch_statistics_of_a_large_map(side):
    x = striped(side)
    mean, var = np.zeros((2, 2), np.float32)
    ops.batchnorm_forward(x, *np.ones((2, 2), np.float32), mean, var, True, momentum=0.0)
    assert error(mean, x.mean(dtype=np.float64)) < 1e-6
    assert error(var, x.var(dtype=np.float64)) < 1e-6


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("first", ["as the rest", "black", "all bands but one black"])
def test_variance_beside_a_large_mean(spread, first, rng):
    x = (1000 + spread * rng.normal(size=(2, 256, 256, 2))).astype(np.float32)
    x[:, : {"as the rest": 0, "black": 1, "all bands but one black": 200}[first]] = 0
    mean, var = np.zeros((2, 2), np.float32)
    ops.batchnorm_forward(x, *np.ones((2, 2), np.float32), mean, var, True, momentum=0.0)
    exact = x.astype(np.float64)
    assert error(mean, exact.mean(axis=(0, 1, 2))) < 1e-6
    assert error(var, exact.var(axis=(0, 1, 2))) < 2e-6


@pytest.mark.parametrize("side", SIDES)
def test_batchnorm_gradients_of_a_large_map(side):
    x = striped(side)
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    _, cache = ops.batchnorm_forward(x, ones, zeros, zeros.copy(), ones.copy(), True)
    dgamma, dbeta = ops.batchnorm_grad_weights(x, cache)
    exact = x[0, ..., 0].astype(np.float64)
    xhat = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)
    assert error(dgamma, (exact * xhat).sum()) < 2e-6
    assert error(dbeta, exact.sum()) < 1e-6


@pytest.mark.parametrize(("C", "O"), [(1, 8), (8, 8), (32, 32)])
@pytest.mark.parametrize("side", [16, 64, 256])
@pytest.mark.parametrize("name", ["conv2d", "upsample_conv2d"])
def test_gradients_of_weights_over_a_large_map(name, side, C, O):
    w, b = np.zeros((3, 3, C, O), np.float32), np.zeros(O, np.float32)
    y, cache = getattr(ops, f"{name}_forward")(constant(side, C), w, b)
    dw, db = getattr(ops, f"{name}_grad_weights")(np.full_like(y, 0.3), cache)
    pixels, dy = y[0, ..., 0].size, float(np.float32(0.3))
    assert error(dw[1, 1], EXACT * dy * pixels) < 1e-6  # the window's centre, never off the map
    assert error(db, dy * pixels) < 1e-6


@pytest.mark.parametrize("N", [64, 4095, 1 << 20])
def test_gradients_of_a_dense_layer_over_many_rows(N):
    x, w, b = np.full((N, 3), LEVEL), np.zeros((3, 2), np.float32), np.zeros(2, np.float32)
    y, cache = ops.dense_forward(x, w, b)
    dw, db = ops.dense_grad_weights(np.full_like(y, LEVEL), cache)
    assert error(dw, N * EXACT**2) < 1e-6
    assert error(db, N * EXACT) < 1e-6


@pytest.mark.parametrize("M", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3, 40 * BLOCK + 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_cover_every_row_once(M, dtype, rng):
    a, b = rng.integers(-9, 9, (M, 3)).astype(dtype), rng.integers(-9, 9, (M, 2)).astype(dtype)
    np.testing.assert_array_equal(column_sums(a), a.sum(axis=0))
    np.testing.assert_array_equal(transposed_product(a, b), a.T @ b)
    wide = rng.integers(-9, 9, (M, 1 << 14)).astype(dtype)
    np.testing.assert_array_equal(transposed_product(wide, b), wide.T @ b)
    np.testing.assert_array_equal(column_sums(a.reshape(1, M, 3)), a.sum(axis=0)[None])
    np.testing.assert_array_equal(channel_sums(a.reshape(M, 1, 3)), a.sum(axis=0))


def test_many_float32_shares_add_up_in_float64():
    assert add_up([]) == []
    level, ones = add_up([np.full(3, LEVEL), np.ones(2, np.float32)] for _ in range(100_000))
    np.testing.assert_allclose(level, 100_000 * EXACT, rtol=1e-12)
    np.testing.assert_array_equal(ones, 100_000)


def test_values_along_a_row_are_those_of_every_pixel(rng):
    values = rng.integers(0, 9, 3)
    assert along_rows(values, 2).tolist() == [*values, *values]
    np.testing.assert_array_equal(per_channel(along_rows(values, 5), 5), 5 * values)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_pooling_gives_the_same_bits_with_any_number_of_threads(threads, rng, monkeypatch):
    x = rng.random((5, 33, 47, 3), np.float32)
    monkeypatch.setenv("UMS_THREADS", "4")
    expected = ops.global_average_pool_forward(x)[0]
    monkeypatch.setenv("UMS_THREADS", threads)
    np.testing.assert_array_equal(ops.global_average_pool_forward(x)[0], expected)


def test_dice_does_not_depend_on_the_order_in_memory(rng):
    z = rng.normal(size=(512, 512, 4)).astype(np.float32).transpose(2, 0, 1)
    t = (rng.random((512, 512, 4)) > 0.5).astype(np.float32).transpose(2, 0, 1)
    value, gradient = ops.dice(z, t)
    exact_value, exact = ops.dice(z.astype(np.float64), t.astype(np.float64))
    assert error(value, exact_value) < 1e-6 and gradient.dtype == np.float32
    assert abs(gradient - exact).max() < 1e-6 * abs(exact).max()
