"""Convolution against a loop, against SciPy, and its two forms against each other."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from ums.ops import col2im, conv2d_backward, conv2d_forward, conv2d_grad_input, im2col
from ums.ops.conv import conv2d_backward_plain, conv2d_forward_plain
from ums.ops.fast import threads as fast_threads

CASES = [
    # x, kernel, channels out, stride, dilation
    ((2, 6, 5, 3), 3, 4, 1, 1),
    ((1, 7, 8, 2), 3, 3, 2, 1),
    ((2, 7, 5, 1), 3, 2, 3, 2),
    ((3, 5, 5, 2), 5, 1, 1, 1),
    ((1, 9, 4, 3), 5, 2, 2, 3),
    ((2, 4, 6, 3), 1, 5, 1, 1),
    ((2, 5, 6, 3), 1, 5, 2, 1),
    ((1, 2, 1, 1), 3, 1, 1, 3),
    ((1, 2, 3, 7), 3, 9, 1, 2),  # smaller than the kernel
]
TABLE = pytest.mark.parametrize(("shape", "K", "O", "stride", "dilation"), CASES)


def arguments(rng, shape, K, O, dtype=np.float64):
    shapes = shape, (K, K, shape[3], O), (O,)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def naive_conv2d(x, w, b, stride, dilation):
    """The definition, pixel by pixel: y[n, i, j] sums what the kernel meets inside the image."""
    N, H, W, _ = x.shape
    K, O = w.shape[0], w.shape[3]
    p = dilation * (K - 1) // 2
    y = np.zeros((N, (H + stride - 1) // stride, (W + stride - 1) // stride, O))
    for n, i, j in np.ndindex(y.shape[:3]):
        y[n, i, j] = b
        for u, v in np.ndindex(K, K):
            row, column = stride * i + dilation * u - p, stride * j + dilation * v - p
            if 0 <= row < H and 0 <= column < W:
                y[n, i, j] += x[n, row, column] @ w[u, v]
    return y


@TABLE
def test_conv2d_equals_the_definition(shape, K, O, stride, dilation, rng):
    x, w, b = arguments(rng, shape, K, O)
    expected = naive_conv2d(x, w, b, stride, dilation)
    for forward in (conv2d_forward, conv2d_forward_plain):
        y, _ = forward(x, w, b, stride, dilation)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_conv2d_worked_by_hand():
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)  # 1 2 3 / 4 5 6 / 7 8 9
    w = np.array([[0, 1, 0], [0, 0, 2], [0, 0, 0.0]]).reshape(3, 3, 1, 1)  # above + 2 * right
    y, _ = conv2d_forward(x, w, np.array([0.5]))
    assert y[0, :, :, 0].tolist() == [[4.5, 6.5, 0.5], [11.5, 14.5, 3.5], [20.5, 23.5, 6.5]]


@pytest.mark.parametrize("dilation", [1, 2])
def test_conv2d_equals_scipy_for_each_pair_of_channels(dilation, rng):
    x, w, b = arguments(rng, (2, 8, 7, 3), 3, 2)
    spread = np.zeros((2 * dilation + 1, 2 * dilation + 1, 3, 2))
    spread[::dilation, ::dilation] = w
    y, _ = conv2d_forward(x, w, b, dilation=dilation)
    for n, o in np.ndindex(2, 2):
        parts = [correlate2d(x[n, :, :, c], spread[:, :, c, o], "same") for c in range(3)]
        np.testing.assert_allclose(y[n, :, :, o], sum(parts) + b[o], rtol=1e-12)


@TABLE
@pytest.mark.parametrize("tile_bytes", [1, 2000, 10_000, 1 << 30])
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_fast_form_equals_its_formula(
    shape, K, O, stride, dilation, tile_bytes, threads, rng, monkeypatch
):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", tile_bytes)
    monkeypatch.setenv("UMS_THREADS", threads)
    x, w, b = arguments(rng, (shape[0] + 3, *shape[1:]), K, O)
    y, cache = conv2d_forward(x, w, b, stride, dilation)
    plain, plain_cache = conv2d_forward_plain(x, w, b, stride, dilation)
    np.testing.assert_allclose(y, plain, rtol=1e-12, atol=1e-12)
    dy = rng.normal(size=y.shape)
    for a, e in zip(
        conv2d_backward(dy, cache), conv2d_backward_plain(dy, plain_cache), strict=True
    ):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)


def test_same_number_of_threads_gives_the_same_bits(rng, monkeypatch, tiny_tiles):
    arrays = arguments(rng, (5, 9, 7, 3), 3, 4, np.float32)
    dy = rng.normal(size=(5, 5, 4, 4)).astype(np.float32)
    results = {}
    for threads in ("1", "2", "3", "1", "2", "3"):
        monkeypatch.setenv("UMS_THREADS", threads)
        y, cache = conv2d_forward(*arrays, stride=2)
        result = [y, *conv2d_backward(dy, cache)]
        for a, b in zip(result, results.setdefault(threads, result), strict=True):
            np.testing.assert_array_equal(a, b)
    for threads in ("2", "3"):
        for a, b in zip(results[threads], results["1"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@TABLE
def test_col2im_is_the_adjoint_of_im2col(shape, K, O, stride, dilation, rng):
    x = rng.normal(size=shape)
    A = im2col(x, K, stride, dilation)
    a = rng.normal(size=A.shape)
    back = col2im(a, shape, stride, dilation)
    assert np.vdot(A, a) == pytest.approx(np.vdot(x, back), rel=1e-12, abs=1e-12)


def test_col2im_of_im2col_counts_the_windows_that_see_a_pixel():
    ones = np.ones((1, 3, 3, 1))
    counts = col2im(im2col(ones, 3), ones.shape)[0, :, :, 0]
    assert counts.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_im2col_holds_the_window_of_each_pixel(rng):
    x = rng.normal(size=(2, 5, 6, 3))
    A = im2col(x, 3, stride=2)
    np.testing.assert_array_equal(A[1, 1, 1], x[1, 1:4, 1:4])
    assert not A[:, 0, :, 0].any()  # the first row of the first windows is padding


def test_conv2d_takes_views_and_leaves_them(rng):
    x, w, b = arguments(rng, (4, 6, 10, 3), 3, 2)
    view = x[::2, :, ::2]
    y, cache = conv2d_forward(view, w, b)
    np.testing.assert_array_equal(y, conv2d_forward(view.copy(), w, b)[0])
    dy = rng.normal(size=(*y.shape[:3], 4))[..., ::2]
    expected = conv2d_grad_input(dy.copy(), cache)
    np.testing.assert_allclose(conv2d_grad_input(dy, cache), expected, rtol=1e-12)


def test_results_do_not_lie_in_memory_used_again(rng, tiny_tiles):
    x, w, b = arguments(rng, (2, 5, 5, 2), 3, 3)
    y, cache = conv2d_forward(x, w, b, 2)
    gradients = conv2d_backward(rng.normal(size=y.shape), cache)
    kept = [a.copy() for a in (y, *gradients)]
    other, cache = conv2d_forward(-x, w, b, 2)
    conv2d_backward(rng.normal(size=other.shape), cache)
    for a, b in zip((y, *gradients), kept, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stride", [1, 2])
def test_empty_batch_gives_empty_output_and_zero_gradients(stride, rng):
    x, w, b = arguments(rng, (0, 6, 6, 3), 3, 2)
    y, cache = conv2d_forward(x, w, b, stride)
    dx, dw, db = conv2d_backward(y, cache)
    assert y.shape == (0, 6 // stride, 6 // stride, 2)
    assert dx.shape == x.shape and dw.shape == w.shape
    assert not dw.any() and not db.any()


MISFITS = [
    ((1, 4, 4, 3), (3, 3, 2, 5), (5,), {}, r"got \(1, 4, 4, 3\) and \(3, 3, 2, 5\)"),
    ((4, 4, 3), (3, 3, 3, 5), (5,), {}, r"got \(4, 4, 3\) and"),
    ((1, 4, 4, 3), (3, 1, 3, 5), (5,), {}, r"\(3, 1, 3, 5\)"),
    ((1, 4, 4, 3), (2, 2, 3, 5), (5,), {}, r"odd size, got w \(2, 2, 3, 5\)"),
    ((1, 4, 4, 3), (3, 3, 3, 5), (3,), {}, r"got \(3,\) and \(3, 3, 3, 5\)"),
    ((1, 4, 4, 3), (3, 3, 3, 5), (5,), {"stride": 0}, "at least 1, got 0 and 1"),
    ((1, 4, 4, 3), (3, 3, 3, 5), (5,), {"dilation": -1}, "at least 1, got 1 and -1"),
]


@pytest.mark.parametrize(("x", "w", "b", "settings", "message"), MISFITS)
def test_conv2d_names_the_shapes_that_do_not_fit(x, w, b, settings, message):
    with pytest.raises(ValueError, match=message):
        conv2d_forward(np.zeros(x), np.zeros(w), np.zeros(b), **settings)


def test_conv2d_refuses_mixed_dtypes():
    x, w, b = np.zeros((1, 4, 4, 3), np.float32), np.zeros((3, 3, 3, 2)), np.zeros(2)
    with pytest.raises(TypeError, match="float32, float64 and float64"):
        conv2d_forward(x, w, b)
