"""Upsampling, alone and folded into the convolution that follows it."""

import numpy as np
import pytest

from ums.ops import (
    upsample2d_backward,
    upsample2d_forward,
    upsample_conv2d_backward,
    upsample_conv2d_forward,
)
from ums.ops.fast import threads as fast_threads
from ums.ops.fast.upsample import fold_kernel, unfold_kernel
from ums.ops.upsample import (
    upsample_conv2d_backward_plain,
    upsample_conv2d_forward_plain,
)

SHAPES = [((3, 4, 5, 3), 2), ((1, 1, 1, 1), 1), ((5, 3, 1, 2), 7), ((2, 7, 6, 5), 4)]
TABLE = pytest.mark.parametrize(("shape", "O"), SHAPES)


def arguments(rng, shape, O, dtype=np.float64):
    return [rng.normal(size=s).astype(dtype) for s in (shape, (3, 3, shape[3], O), (O,))]


def test_upsample2d_worked_by_hand():
    x = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    y, cache = upsample2d_forward(x)
    assert y[0, :, :, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    dx = upsample2d_backward(np.arange(16.0).reshape(1, 4, 4, 1), cache)
    assert dx[0, :, :, 0].tolist() == [[10, 18], [42, 50]]  # 0+1+4+5, 2+3+6+7, ...


def test_upsample2d_backward_is_the_adjoint(rng):
    x, dy = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 6, 10, 4))
    y, cache = upsample2d_forward(x)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, upsample2d_backward(dy, cache)), rel=1e-12)


def test_fold_kernel_adds_the_rows_that_fall_on_one_source_row():
    w = np.arange(9.0).reshape(3, 3, 1, 1)  # 0 1 2 / 3 4 5 / 6 7 8
    V = fold_kernel(w).reshape(2, 2, 2, 2)  # (s, t, r, q), phase (1 - r, 1 - q)
    assert V[:, :, 1, 1].tolist() == [[0, 3], [9, 24]]  # w00, w01+w02; w10+w20, the other four
    assert V[:, :, 0, 0].tolist() == [[8, 7], [13, 8]]  # the upper left four, w02+w12; ..., w22


@pytest.mark.parametrize(("C", "O"), [(1, 1), (3, 2), (2, 5)])
def test_unfold_kernel_is_the_adjoint_of_fold_kernel(C, O, rng):
    w, dV = rng.normal(size=(3, 3, C, O)), rng.normal(size=(4 * C, 4 * O))
    back = unfold_kernel(dV, w.shape)
    assert back.shape == w.shape
    assert np.vdot(fold_kernel(w), dV) == pytest.approx(np.vdot(w, back), rel=1e-12)


@TABLE
@pytest.mark.parametrize("tile_bytes", [1, 2000, 1 << 30])
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_fast_form_equals_its_formula(shape, O, tile_bytes, threads, rng, monkeypatch):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", tile_bytes)
    monkeypatch.setenv("UMS_THREADS", threads)
    x, w, b = arguments(rng, shape, O)
    y, cache = upsample_conv2d_forward(x, w, b)
    plain, plain_cache = upsample_conv2d_forward_plain(x, w, b)
    np.testing.assert_allclose(y, plain, rtol=1e-12, atol=1e-12)
    dy = rng.normal(size=y.shape)
    expected = upsample_conv2d_backward_plain(dy, plain_cache)
    for a, e in zip(upsample_conv2d_backward(dy, cache), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)


def test_same_number_of_threads_gives_the_same_bits(rng, monkeypatch, tiny_tiles):
    arrays = arguments(rng, (4, 5, 6, 3), 2, np.float32)
    dy = rng.normal(size=(4, 10, 12, 2)).astype(np.float32)
    results = {}
    for threads in ("1", "2", "3", "1", "2", "3"):
        monkeypatch.setenv("UMS_THREADS", threads)
        y, cache = upsample_conv2d_forward(*arrays)
        result = [y, *upsample_conv2d_backward(dy, cache)]
        for a, b in zip(result, results.setdefault(threads, result), strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(results["3"], results["1"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_empty_batch_gives_empty_output_and_zero_gradients(rng):
    x, w, b = arguments(rng, (0, 3, 4, 2), 5)
    y, cache = upsample_conv2d_forward(x, w, b)
    dx, dw, db = upsample_conv2d_backward(y, cache)
    assert y.shape == (0, 6, 8, 5) and dx.shape == x.shape
    assert not dw.any() and not db.any()


@pytest.mark.parametrize("K", [1, 5])
def test_upsample_conv2d_refuses_other_kernels(K, rng):
    with pytest.raises(ValueError, match=rf"\(3, 3, C, O\), got \({K}, {K}, 2, 1\)"):
        upsample_conv2d_forward(np.zeros((1, 4, 4, 2)), np.zeros((K, K, 2, 1)), np.zeros(1))


def test_upsample2d_refuses_what_is_not_a_batch_of_images():
    with pytest.raises(ValueError, match=r"\(N, H, W, C\), got \(4, 4\)"):
        upsample2d_forward(np.zeros((4, 4)))
